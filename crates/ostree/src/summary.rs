//! The summary: one file that lists all refs of a repository for those who fetch from it.
//!
//! Source: libostree's `OSTREE_SUMMARY_GVARIANT_STRING`, `(a(s(taya{sv}))a{sv})`, and the keys that
//! `ostree summary --update` writes. Integers in dictionaries are big-endian, the size of a commit is
//! not.

use std::collections::BTreeMap;
use std::path::Path;

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree_format::gvariant::{Type, Value};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Commit, DirMeta, Metadata, ObjectKind, ObjectName, limits};
use progress::Interrupt;
use rustix::fs::{AtFlags, Timespec, Timestamps};

use crate::refs::RefOwner;
use crate::{Expect, ReadError, RefError, Repo, TransactionOptions, Tree, WriteError};

const LAST_MODIFIED: &str = "ostree.summary.last-modified";
const MODE: &str = "ostree.summary.mode";
const TOMBSTONES: &str = "ostree.summary.tombstone-commits";
const INDEXED_DELTAS: &str = "ostree.summary.indexed-deltas";
const COLLECTION_ID: &str = "ostree.summary.collection-id";
const COLLECTION_MAP: &str = "ostree.summary.collection-map";
const STATIC_DELTAS: &str = "ostree.static-deltas";
/// The ref on which a repository with a collection describes itself.
const METADATA_REF: &str = "ostree-metadata";
const COMMIT_TIMESTAMP: &str = "ostree.commit.timestamp";
const COMMIT_VERSION: &str = "ostree.commit.version";

/// A summary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// The repository's refs by name.
    pub refs: Vec<SummaryRef>,
    /// Everything else, except the refs of other collections.
    pub metadata: Metadata,
    /// Refs of other collections.
    pub collections: BTreeMap<String, Vec<SummaryRef>>,
}

/// A summary and its signatures as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryBytes {
    /// The file `summary`.
    pub summary: Vec<u8>,
    /// The file `summary.sig`.
    pub signatures: Option<Vec<u8>>,
}

/// A ref in a [`Summary`].
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryRef {
    /// Its name.
    pub name: String,
    /// Bytes of the commit object.
    pub size: u64,
    /// The commit.
    pub commit: Checksum,
    /// Timestamp and version of the commit.
    pub metadata: Metadata,
}

/// Why a summary could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The bytes are no summary.
    #[error("the summary is damaged")]
    Damaged,
    /// A ref cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// A commit that a ref names cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The commit of `ostree-metadata` could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Somebody prunes the repository.
    #[error(transparent)]
    Lock(#[from] durable::LockError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for SummaryError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged => ErrorClass::Corrupt,
            Self::Ref(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl SummaryRef {
    fn type_of() -> Type {
        let rest = Type::tuple([Type::U64, Type::bytes(), Type::vardict()]);
        Type::tuple([Type::Str, rest])
    }

    fn to_value(&self) -> Value {
        Value::Tuple(vec![
            Value::from(self.name.as_str()),
            Value::Tuple(vec![
                Value::U64(self.size),
                Value::Bytes(self.commit.as_bytes().to_vec()),
                self.metadata.to_value(),
            ]),
        ])
    }

    fn from_value(value: &Value) -> Option<Self> {
        let [name, rest] = value.as_tuple()? else {
            return None;
        };
        let [size, commit, metadata] = rest.as_tuple()? else {
            return None;
        };
        Some(Self {
            name: name.as_str()?.to_owned(),
            size: size.as_u64()?,
            commit: Checksum::from_slice(commit.as_bytes()?)?,
            metadata: Metadata::from_value(metadata)?,
        })
    }
}

fn list_value(refs: &[SummaryRef]) -> Value {
    let values = refs.iter().map(SummaryRef::to_value).collect();
    Value::Array(SummaryRef::type_of(), values)
}

fn list_from(value: &Value) -> Option<Vec<SummaryRef>> {
    value
        .as_array()?
        .iter()
        .map(SummaryRef::from_value)
        .collect()
}

impl Summary {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_value().to_bytes()
    }

    /// The stored form, as a value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut metadata = self.metadata.clone();
        if !self.collections.is_empty() {
            let entry = Type::DictEntry(Box::new((Type::Str, Type::array(SummaryRef::type_of()))));
            let entries = self.collections.iter().map(|(collection, refs)| {
                let pair = (Value::from(collection.as_str()), list_value(refs));
                Value::DictEntry(Box::new(pair))
            });
            metadata.insert(COLLECTION_MAP, Value::Array(entry, entries.collect()));
        }
        Value::Tuple(vec![list_value(&self.refs), metadata.to_value()])
    }

    /// Parse the stored form; normal form is not asked for.
    ///
    /// # Errors
    /// [`SummaryError::Damaged`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SummaryError> {
        let of = Type::tuple([Type::array(SummaryRef::type_of()), Type::vardict()]);
        let value = Value::from_bytes_lenient(&of, bytes).map_err(|_| SummaryError::Damaged)?;
        Self::from_value(&value).ok_or(SummaryError::Damaged)
    }

    fn from_value(value: &Value) -> Option<Self> {
        let [refs, metadata] = value.as_tuple()? else {
            return None;
        };
        let mut metadata = Metadata::from_value(metadata)?;
        let mut collections = BTreeMap::new();
        if let Some(map) = metadata.remove(COLLECTION_MAP) {
            for entry in map.as_array()? {
                let Value::DictEntry(pair) = entry else {
                    return None;
                };
                collections.insert(pair.0.as_str()?.to_owned(), list_from(&pair.1)?);
            }
        }
        Some(Self {
            refs: list_from(refs)?,
            metadata,
            collections,
        })
    }

    /// When it was written, in seconds since 1970 UTC.
    #[must_use]
    pub fn last_modified(&self) -> Option<u64> {
        Some(self.metadata.get(LAST_MODIFIED)?.as_u64()?.swap_bytes())
    }
}

impl Repo {
    /// The summary that this repository has, if any.
    ///
    /// # Errors
    /// [`SummaryError`].
    pub fn load_summary(&self) -> Result<Option<Summary>, SummaryError> {
        let path = Path::new("summary");
        let bytes = durable::read_optional(self.dir(), path, limits::MAX_METADATA_SIZE)?;
        bytes.map(|bytes| Summary::from_bytes(&bytes)).transpose()
    }

    /// Write a new summary, and indexes of the static deltas, with `now` (seconds since 1970 UTC) as its
    /// time and `additional` metadata;
    /// signatures of the old one are removed.
    ///
    /// # Errors
    /// [`SummaryError`]; the old summary is untouched then.
    pub fn update_summary(&self, now: u64, additional: &Metadata) -> Result<(), SummaryError> {
        self.update_signed_summary(now, additional, |_| Ok(None))
    }

    /// As [`update_summary`](Self::update_summary), with the signatures that `sign` makes of the
    /// summary's bytes.
    ///
    /// # Errors
    /// [`SummaryError`], or what `sign` said; the old summary is untouched then.
    pub fn update_signed_summary<E: From<SummaryError>>(
        &self,
        now: u64,
        additional: &Metadata,
        sign: impl FnOnce(&[u8]) -> Result<Option<Metadata>, E>,
    ) -> Result<(), E> {
        self.reindex_deltas(None).map_err(SummaryError::from)?;
        self.write_metadata_ref(now, additional)?;
        let _lock = self.lock_shared().map_err(SummaryError::from)?;
        let summary = self.summarise(now, additional)?.to_bytes();
        let signatures = sign(&summary)?;
        Ok(self.publish_summary(&summary, signatures.as_ref())?)
    }

    /// The signatures go first: better none, or those of what is about to come, than those of something
    /// that was replaced.
    fn publish_summary(
        &self,
        summary: &[u8],
        signatures: Option<&Metadata>,
    ) -> Result<(), SummaryError> {
        let path = Path::new("summary.sig");
        match signatures {
            Some(found) => durable::publish(self.dir(), path, &found.to_bytes(), 0o644)?,
            None => durable::remove_all(self.dir(), path)?,
        }
        durable::publish(self.dir(), Path::new("summary"), summary, 0o644)?;
        if signatures.is_some() {
            self.date_signatures()?;
        }
        Ok(())
    }

    /// Gives the signatures the time of the summary: caches of the web take files of different times for
    /// files of different generations.
    fn date_signatures(&self) -> Result<(), durable::Error> {
        let stat = rustix::fs::statat(self.dir(), "summary", AtFlags::empty());
        let stat = stat.during("look at", "summary")?;
        let time = Timespec {
            tv_sec: stat.st_mtime,
            tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        rustix::fs::utimensat(self.dir(), "summary.sig", &times, AtFlags::empty())
            .during("set the time of", "summary.sig")
    }

    /// The bytes of the summary and of its signatures.
    ///
    /// # Errors
    /// What the system said.
    pub fn load_summary_bytes(&self) -> Result<Option<SummaryBytes>, durable::Error> {
        let read = |name: &str| {
            durable::read_optional(self.dir(), Path::new(name), limits::MAX_METADATA_SIZE)
        };
        let signatures = read("summary.sig")?;
        let found = read("summary")?.map(|summary| SummaryBytes {
            summary,
            signatures,
        });
        Ok(found)
    }

    /// A repository with a collection says what its summary says also in a commit, for those who fetch it
    /// from somewhere else: on the ref `ostree-metadata`, with an empty tree.
    fn write_metadata_ref(&self, now: u64, additional: &Metadata) -> Result<(), SummaryError> {
        let Some(collection) = self.collection_id() else {
            return Ok(());
        };
        let name = Refspec::local(METADATA_REF.parse().map_err(RefError::from)?);
        let parent = self.read_ref(&name)?;
        let txn = self.begin(TransactionOptions::default())?;
        let root = txn.write_dirmeta(&DirMeta::root_owned(0o755))?;
        let contents = txn.write_tree(&Tree::new(root))?;
        let mut metadata = additional.clone();
        let refs = vec![Value::from(METADATA_REF)];
        metadata.insert("ostree.ref-binding", Value::Array(Type::Str, refs));
        metadata.insert("ostree.collection-binding", collection);
        let commit = txn.write_commit(&Commit {
            metadata,
            parent,
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: now,
            contents,
            meta: root,
        })?;
        txn.set_ref(name, Expect::Any, Some(commit));
        txn.commit(&progress::Silent, &Interrupt::default())?;
        Ok(())
    }

    fn summarise(&self, now: u64, additional: &Metadata) -> Result<Summary, SummaryError> {
        let config = &self.config().file;
        let mut summary = Summary {
            metadata: additional.clone(),
            ..Summary::default()
        };
        self.add_refs(&mut summary)?;
        if config.get_bool("core", "no-deltas-in-summary") != Some(true) {
            let deltas = self.delta_digests()?;
            if !deltas.is_empty() {
                let digests = static_delta::digests_to_value(&deltas);
                summary.metadata.insert(STATIC_DELTAS, digests);
            }
        }
        let metadata = &mut summary.metadata;
        metadata.insert(LAST_MODIFIED, Value::U64(now.swap_bytes()));
        let mode = config.get("core", "mode");
        metadata.insert(MODE, mode.unwrap_or_else(|| "bare".to_owned()));
        let tombstones = config.get_bool("core", "tombstone-commits") == Some(true);
        metadata.insert(TOMBSTONES, Value::Bool(tombstones));
        metadata.insert(INDEXED_DELTAS, Value::Bool(true));
        if let Some(collection) = config.get("core", "collection-id") {
            metadata.insert(COLLECTION_ID, collection);
        }
        Ok(summary)
    }

    fn add_refs(&self, summary: &mut Summary) -> Result<(), SummaryError> {
        for found in self.ref_files()? {
            let collection = match &found.owner {
                RefOwner::Local => None,
                RefOwner::Mirror(collection) => Some(collection.clone()),
                // A remote's refs are nobody else's business, unless it is part of a collection.
                RefOwner::Remote(remote) => match self.remote(remote) {
                    Some(remote) if remote.get("collection-id").is_some() => {
                        remote.get("collection-id").map(str::to_owned)
                    }
                    _ => continue,
                },
            };
            let Some(commit) = found.commit? else {
                continue;
            };
            let entry = self.summary_ref(found.name.to_string(), commit)?;
            match collection {
                None => summary.refs.push(entry),
                Some(collection) => summary
                    .collections
                    .entry(collection)
                    .or_default()
                    .push(entry),
            }
        }
        let by_name = |a: &SummaryRef, b: &SummaryRef| a.name.cmp(&b.name);
        summary.refs.sort_by(by_name);
        for refs in summary.collections.values_mut() {
            refs.sort_by(by_name);
        }
        Ok(())
    }

    fn summary_ref(&self, name: String, checksum: Checksum) -> Result<SummaryRef, SummaryError> {
        let object = ObjectName::new(checksum, ObjectKind::Commit);
        let commit = self.load_commit(&checksum)?;
        let mut metadata = Metadata::new();
        metadata.insert(COMMIT_TIMESTAMP, Value::U64(commit.timestamp.swap_bytes()));
        if let Some(version) = commit.metadata.get_str("version") {
            metadata.insert(COMMIT_VERSION, version);
        }
        Ok(SummaryRef {
            name,
            size: self.stored_size(&object)?.unwrap_or_default(),
            commit: checksum,
            metadata,
        })
    }
}
