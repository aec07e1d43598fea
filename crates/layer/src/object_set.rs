//! Importing a layer of an encapsulated commit: an archive of OSTree objects.
//!
//! The layout is that of a repository in mode bare-split-xattrs below `sysroot/ostree/repo`: for every
//! content object first its attributes (`.file-xattrs`, `.file-xattrs-link`), then the object itself.
//! Source: ostree-ext's documentation of its tar format ("Export format v1") and images it made.

use std::collections::{BTreeSet, HashMap};

use ostree::Transaction;
use ostree_format::{
    Checksum, Commit, FileHeader, Hasher, Metadata, ObjectKind, ObjectName, Xattrs, limits,
};
use progress::Interrupt;

use crate::entries::Entries;
use crate::entry::{Entry, EntryKind};
use crate::error::{EntryProblem, LayerError, printable};
use crate::file::{link_target, store_file, store_symlink};
use crate::paths::{PathPolicy, Place};
use crate::pipeline::{LayerBlob, run};
use crate::tap::Tap;

/// Largest set of extended attributes of one file.
const MAX_XATTRS: u64 = 1024 * 1024;

/// What a layer of an encapsulated commit held.
#[derive(Debug, Default)]
pub struct ObjectSet {
    /// Content objects, which are stored now.
    pub content: BTreeSet<Checksum>,
    /// The commit, in the first layer of an image.
    pub commit: Option<EncapsulatedCommit>,
}

/// The commit in the first layer of an encapsulated image.
#[derive(Debug)]
pub struct EncapsulatedCommit {
    /// Its name.
    pub checksum: Checksum,
    /// Its bytes, which signatures cover.
    pub bytes: Vec<u8>,
    /// Its detached metadata.
    pub detached: Option<Metadata>,
}

/// Import a layer that may hold only content objects.
///
/// # Errors
/// [`LayerError`]; the transaction must not be committed then.
pub fn import_object_set(
    txn: &Transaction<'_>,
    blob: LayerBlob<'_>,
    tap: Option<&mut dyn Tap>,
    interrupt: &Interrupt,
) -> Result<ObjectSet, LayerError> {
    let size = blob.size;
    run(blob, |source| {
        Importer::new(txn, false).import(&mut Entries::new(source, size, tap), interrupt)
    })
}

/// Import the first layer of an encapsulated image: the commit, its metadata objects, and content.
///
/// # Errors
/// [`LayerError`]; the transaction must not be committed then.
pub fn import_commit_objects(
    txn: &Transaction<'_>,
    blob: LayerBlob<'_>,
    tap: Option<&mut dyn Tap>,
    interrupt: &Interrupt,
) -> Result<ObjectSet, LayerError> {
    let size = blob.size;
    let set = run(blob, |source| {
        Importer::new(txn, true).import(&mut Entries::new(source, size, tap), interrupt)
    })?;
    if set.commit.is_none() {
        return Err(LayerError::NoCommit);
    }
    Ok(set)
}

struct Importer<'t> {
    txn: &'t Transaction<'t>,
    with_commit: bool,
    set: ObjectSet,
    /// Attributes that were seen, by the checksum of their stored form.
    xattrs: HashMap<Checksum, Xattrs>,
    /// The content object that comes next, and its attributes.
    next: Option<(Checksum, Xattrs)>,
    scratch: Vec<u8>,
}

/// An object's entry: the path below `objects/`, taken apart.
struct Object<'a> {
    checksum: Checksum,
    extension: &'a str,
}

impl<'t> Importer<'t> {
    fn new(txn: &'t Transaction<'t>, with_commit: bool) -> Self {
        Self {
            txn,
            with_commit,
            set: ObjectSet::default(),
            xattrs: HashMap::new(),
            next: None,
            scratch: Vec::new(),
        }
    }

    fn import(
        mut self,
        entries: &mut Entries<'_>,
        interrupt: &Interrupt,
    ) -> Result<ObjectSet, LayerError> {
        while let Some(entry) = entries.next()? {
            interrupt
                .check()
                .map_err(|stop| LayerError::store(&entry.path, stop.into()))?;
            self.add(entries, &entry)?;
        }
        Ok(self.set)
    }

    fn add(&mut self, entries: &mut Entries<'_>, entry: &Entry) -> Result<(), LayerError> {
        let place = PathPolicy::default().place(&entry.path);
        let place = place.map_err(|reason| LayerError::entry(&entry.path, reason))?;
        // Directories, the config, and what lies outside of the repository carry no objects.
        let Place::Repo(inside) = place else {
            return entries.skip(entry);
        };
        if entry.kind == EntryKind::Dir {
            return entries.skip(entry);
        }
        let inside = String::from_utf8_lossy(&inside);
        if let Some(path) = inside.strip_prefix("objects/") {
            let object = parse_object(path)
                .ok_or_else(|| LayerError::entry(&entry.path, EntryProblem::UnexpectedObject))?;
            return self.add_object(entries, entry, &object);
        }
        match inside.strip_prefix("xattrs/").map(str::parse::<Checksum>) {
            Some(Ok(checksum)) => self
                .remember_xattrs(entries, entry, Some(checksum))
                .map(drop),
            _ => entries.skip(entry),
        }
    }

    fn add_object(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        object: &Object<'_>,
    ) -> Result<(), LayerError> {
        let checksum = object.checksum;
        match object.extension {
            "file" => self.add_content(entries, entry, checksum),
            "file-xattrs" => self
                .remember_xattrs(entries, entry, Some(checksum))
                .map(drop),
            "file-xattrs-link" | "file.xattrs" | "xattrs" => {
                self.announce(entries, entry, checksum)
            }
            "commit" if self.with_commit && self.set.commit.is_none() => {
                self.add_commit(entries, entry, checksum)
            }
            "commitmeta" if self.with_commit => self.add_detached(entries, entry, checksum),
            "dirtree" if self.with_commit => self.add_metadata(
                entries,
                entry,
                ObjectName::new(checksum, ObjectKind::DirTree),
            ),
            "dirmeta" if self.with_commit => self.add_metadata(
                entries,
                entry,
                ObjectName::new(checksum, ObjectKind::DirMeta),
            ),
            _ => Err(LayerError::entry(
                &entry.path,
                EntryProblem::UnexpectedObject,
            )),
        }
    }

    /// Attributes of the content object that comes next.
    fn announce(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        file: Checksum,
    ) -> Result<(), LayerError> {
        let mismatch = || LayerError::entry(&entry.path, EntryProblem::XattrsMismatch);
        if self.next.is_some() {
            return Err(mismatch());
        }
        let xattrs = if entry.kind == EntryKind::HardLink {
            entries.skip(entry)?;
            let target = String::from_utf8_lossy(&entry.link);
            let checksum = xattrs_target(&target).ok_or_else(mismatch)?;
            self.xattrs.get(&checksum).ok_or_else(mismatch)?.clone()
        } else {
            self.remember_xattrs(entries, entry, None)?
        };
        self.next = Some((file, xattrs));
        Ok(())
    }

    fn remember_xattrs(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        expected: Option<Checksum>,
    ) -> Result<Xattrs, LayerError> {
        let (bytes, checksum) = self.bytes(entries, entry, MAX_XATTRS)?;
        check_name(entry, checksum, expected.unwrap_or(checksum))?;
        let xattrs = Xattrs::from_bytes(&bytes).map_err(|source| malformed(entry, source))?;
        self.xattrs.insert(checksum, xattrs.clone());
        Ok(xattrs)
    }

    fn add_content(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        checksum: Checksum,
    ) -> Result<(), LayerError> {
        let mismatch = || LayerError::entry(&entry.path, EntryProblem::XattrsMismatch);
        let (file, xattrs) = self.next.take().ok_or_else(mismatch)?;
        if file != checksum {
            return Err(mismatch());
        }
        let name = ObjectName::new(checksum, ObjectKind::File);
        let stored = self.txn.has_file(&name);
        if stored.map_err(|error| LayerError::store(&entry.path, error.into()))? {
            entries.stores_next();
            entries.skip(entry)?;
            entries.stored(checksum);
        } else {
            let actual = self.store(entries, entry, xattrs)?;
            if actual != checksum {
                return Err(LayerError::entry(
                    &entry.path,
                    EntryProblem::ChecksumMismatch(actual),
                ));
            }
        }
        self.set.content.insert(checksum);
        Ok(())
    }

    fn store(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        xattrs: Xattrs,
    ) -> Result<Checksum, LayerError> {
        match entry.kind {
            EntryKind::File => {
                let header = FileHeader::regular(entry.uid, entry.gid, entry.permissions, xattrs);
                store_file(self.txn, entries, entry, header, &mut self.scratch)
            }
            EntryKind::Symlink => {
                entries.skip(entry)?;
                let header = FileHeader::symlink(entry.uid, entry.gid, link_target(entry)?, xattrs);
                store_symlink(self.txn, entry, &header)
            }
            _ => Err(LayerError::entry(
                &entry.path,
                EntryProblem::UnexpectedObject,
            )),
        }
    }

    fn add_metadata(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        name: ObjectName,
    ) -> Result<(), LayerError> {
        let (bytes, actual) = self.bytes(entries, entry, limits::MAX_METADATA_SIZE)?;
        check_name(entry, actual, name.checksum)?;
        match name.kind {
            ObjectKind::DirTree => ostree_format::DirTree::from_bytes(&bytes).map(drop),
            _ => ostree_format::DirMeta::from_bytes(&bytes).map(drop),
        }
        .map_err(|source| malformed(entry, source))?;
        let written = self.txn.write_metadata(name.kind, &bytes);
        written
            .map(drop)
            .map_err(|error| LayerError::store(&entry.path, error))
    }

    fn add_commit(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        checksum: Checksum,
    ) -> Result<(), LayerError> {
        let (bytes, actual) = self.bytes(entries, entry, limits::MAX_METADATA_SIZE)?;
        check_name(entry, actual, checksum)?;
        Commit::from_bytes(&bytes).map_err(|source| malformed(entry, source))?;
        let written = self.txn.write_metadata(ObjectKind::Commit, &bytes);
        written.map_err(|error| LayerError::store(&entry.path, error))?;
        self.set.commit = Some(EncapsulatedCommit {
            checksum,
            bytes,
            detached: None,
        });
        Ok(())
    }

    fn add_detached(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        checksum: Checksum,
    ) -> Result<(), LayerError> {
        let (bytes, _) = self.bytes(entries, entry, limits::MAX_METADATA_SIZE)?;
        let metadata = Metadata::from_bytes(&bytes).map_err(|source| malformed(entry, source))?;
        match &mut self.set.commit {
            Some(commit) if commit.checksum == checksum && commit.detached.is_none() => {
                let written = self.txn.write_detached_metadata(checksum, &metadata);
                written.map_err(|error| LayerError::store(&entry.path, error))?;
                commit.detached = Some(metadata);
                Ok(())
            }
            _ => Err(LayerError::entry(
                &entry.path,
                EntryProblem::UnexpectedObject,
            )),
        }
    }

    /// The whole content of a metadata entry, and its checksum.
    fn bytes(
        &mut self,
        entries: &mut Entries<'_>,
        entry: &Entry,
        limit: u64,
    ) -> Result<(Vec<u8>, Checksum), LayerError> {
        if entry.kind != EntryKind::File {
            return Err(LayerError::entry(
                &entry.path,
                EntryProblem::UnexpectedObject,
            ));
        }
        if entry.size > limit {
            return Err(LayerError::entry(&entry.path, EntryProblem::TooLarge));
        }
        let keep = |content: &[u8], checksum| Ok((content.to_vec(), checksum));
        entries.small_content(entry, Hasher::new(), &mut self.scratch, keep)
    }
}

/// Take `xx/yyyy.extension` apart.
fn parse_object(path: &str) -> Option<Object<'_>> {
    let (head, file) = path.split_once('/')?;
    let (tail, extension) = file.split_once('.')?;
    let checksum = format!("{head}{tail}").parse().ok()?;
    Some(Object {
        checksum,
        extension,
    })
}

/// The checksum of the attributes that a link names: `…/xx/yyyy.file-xattrs`, or `…/xattrs/checksum`.
fn xattrs_target(target: &str) -> Option<Checksum> {
    let (parents, file) = target.rsplit_once('/').unwrap_or(("", target));
    match file.split_once('.') {
        None => file.parse().ok(),
        Some((tail, _)) => {
            let head = parents.rsplit('/').next()?;
            format!("{head}{tail}").parse().ok()
        }
    }
}

fn check_name(entry: &Entry, actual: Checksum, expected: Checksum) -> Result<(), LayerError> {
    match actual == expected {
        true => Ok(()),
        false => Err(LayerError::entry(
            &entry.path,
            EntryProblem::ChecksumMismatch(actual),
        )),
    }
}

fn malformed(entry: &Entry, source: ostree_format::FormatError) -> LayerError {
    LayerError::Object {
        path: printable(&entry.path),
        source,
    }
}
