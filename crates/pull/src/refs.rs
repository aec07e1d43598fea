//! Which commits are asked for.

use std::collections::HashMap;

use ostree::{Repo, Summary};
use ostree_format::keyfile::KeyFile;
use ostree_format::limits::MAX_METADATA_SIZE;
use ostree_format::refs::{RefName, Refspec};
use ostree_format::{Checksum, RepoMode};

use crate::fetcher::Fetcher;
use crate::http::Line;
use crate::location::Location;
use crate::options::WantedRef;
use crate::summary::SummarySource;
use crate::{Error, FetchedSummary, Options, Remote};

/// How much of something that is no ref is shown.
const SHOWN: usize = 64;

/// What the remote has of what was asked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Refs, each with its collection, if it has one, and its commit.
    pub(crate) refs: Vec<ResolvedRef>,
    /// Sizes of commits as the summary announces them.
    pub(crate) commit_sizes: HashMap<Checksum, u64>,
    /// The summary, as far as one was needed.
    pub(crate) summary: Option<Summary>,
    /// The files that a mirror of all refs keeps.
    pub(crate) files: FetchedSummary,
    /// Whether the remote marks commits that it deleted.
    pub(crate) tombstones: bool,
    /// Whether the remote has indexes of its static deltas.
    pub(crate) indexed_deltas: bool,
}

/// A ref and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedRef {
    pub(crate) name: RefName,
    pub(crate) collection: Option<String>,
    pub(crate) commit: Checksum,
}

/// Who is asked.
pub(crate) struct Asking<'a> {
    pub(crate) summary: SummarySource<'a>,
    pub(crate) fetcher: &'a Fetcher<'a>,
    pub(crate) line: &'a Line,
    pub(crate) metadata: &'a [Location],
    pub(crate) source: Option<&'a Repo>,
    pub(crate) remote: &'a Remote,
    pub(crate) options: &'a Options<'a>,
    pub(crate) uses_deltas: bool,
}

impl Asking<'_> {
    /// What is asked for, and what it stands for.
    pub(crate) fn resolve(&self) -> Result<Wanted, Error> {
        let mut wanted = Wanted::default();
        let named = self.named_refs()?;
        let mirrors_all = named.is_none();
        let known = |wanted: &WantedRef| wanted.commit.is_some();
        let mut needs_summary = named.as_ref().is_none_or(|refs| !refs.iter().all(known));
        if !needs_summary && self.uses_deltas {
            wanted.indexed_deltas =
                self.remote_config()?.get_bool("core", "indexed-deltas") == Some(true);
            needs_summary = !wanted.indexed_deltas;
        }
        if needs_summary {
            self.take_summary(&mut wanted, mirrors_all)?;
        }
        wanted.refs = match named {
            None => all_refs(wanted.summary.as_ref())?,
            Some(named) => {
                let resolved = named
                    .into_iter()
                    .map(|named| self.resolved(named, &mut wanted));
                resolved.collect::<Result<_, _>>()?
            }
        };
        Ok(wanted)
    }

    /// The refs that were named; `None` when all are wanted.
    fn named_refs(&self) -> Result<Option<Vec<WantedRef>>, Error> {
        let options = self.options;
        if !options.refs.is_empty() || !options.commits.is_empty() {
            // Of two that are called the same, the last counts.
            let mut refs: Vec<WantedRef> = Vec::new();
            for wanted in &options.refs {
                refs.retain(|other| other.name != wanted.name);
                refs.push(wanted.clone());
            }
            return Ok(Some(refs));
        }
        let branches = self.remote.list("branches");
        if branches.is_empty() {
            if options.mirror {
                return Ok(None);
            }
            return Err(Error::NoBranches(self.remote.name().to_owned()));
        }
        let parse = |name: &String| {
            let name = name.parse().map_err(ostree::RefError::from)?;
            Ok(WantedRef { name, commit: None })
        };
        branches
            .iter()
            .map(parse)
            .collect::<Result<_, Error>>()
            .map(Some)
    }

    fn take_summary(&self, wanted: &mut Wanted, mirrors_all: bool) -> Result<(), Error> {
        let files = self.summary.fetch()?;
        let Some(bytes) = &files.summary else {
            return if mirrors_all {
                Err(Error::NoSummary)
            } else {
                Ok(())
            };
        };
        let summary = Summary::from_bytes(bytes)?;
        let text = |key| summary.metadata.get_str(key);
        if let Some(mode) = text("ostree.summary.mode") {
            let archive = matches!(mode.parse(), Ok(RepoMode::Archive));
            if self.source.is_none() && !archive {
                return Err(Error::NotAnArchive(mode.to_owned()));
            }
        }
        let is_set =
            |key| summary.metadata.get(key) == Some(&ostree_format::gvariant::Value::Bool(true));
        wanted.tombstones = is_set("ostree.summary.tombstone-commits");
        wanted.indexed_deltas |= is_set("ostree.summary.indexed-deltas");
        let sizes = summary.refs.iter().map(|found| (found.commit, found.size));
        wanted.commit_sizes = sizes.collect();
        wanted.files = files;
        wanted.summary = Some(summary);
        Ok(())
    }

    fn resolved(&self, named: WantedRef, wanted: &mut Wanted) -> Result<ResolvedRef, Error> {
        let WantedRef { name, commit } = named;
        if let Some(commit) = commit {
            let collection = None;
            return Ok(ResolvedRef {
                name,
                collection,
                commit,
            });
        }
        let Some(summary) = &wanted.summary else {
            let commit = self.read_ref(&name)?;
            let collection = None;
            return Ok(ResolvedRef {
                name,
                collection,
                commit,
            });
        };
        let mut refs = summary.refs.iter();
        let found = refs.find(|found| found.name == name.as_str());
        let found = found.ok_or_else(|| Error::NoSuchRef(name.to_string()))?;
        let commit = found.commit;
        let collection = main_collection(summary);
        Ok(ResolvedRef {
            name,
            collection,
            commit,
        })
    }

    fn read_ref(&self, name: &RefName) -> Result<Checksum, Error> {
        if let Some(source) = self.source {
            return Ok(source.resolve(&Refspec::local(name.clone()).to_string())?);
        }
        let path = format!("refs/heads/{name}");
        let bytes = self
            .fetcher
            .required(self.line, self.metadata, &path, MAX_METADATA_SIZE)?;
        let text = String::from_utf8_lossy(&bytes);
        text.trim_end().parse().map_err(|_| Error::InvalidRev {
            name: name.to_string(),
            content: printable(text.trim_end()),
        })
    }

    fn remote_config(&self) -> Result<KeyFile, Error> {
        let bytes = self
            .fetcher
            .required(self.line, self.metadata, "config", MAX_METADATA_SIZE)?;
        Ok(KeyFile::parse(&String::from_utf8_lossy(&bytes))?)
    }
}

fn main_collection(summary: &Summary) -> Option<String> {
    let id = summary.metadata.get_str("ostree.summary.collection-id");
    id.map(ToOwned::to_owned)
}

fn all_refs(summary: Option<&Summary>) -> Result<Vec<ResolvedRef>, Error> {
    let summary = summary.ok_or(Error::NoSummary)?;
    let main = main_collection(summary);
    let own = summary.refs.iter().map(|found| (main.clone(), found));
    let others = summary.collections.iter().flat_map(|(collection, refs)| {
        refs.iter()
            .map(move |found| (Some(collection.clone()), found))
    });
    own.chain(others)
        .map(|(collection, found)| {
            let name = found.name.parse().map_err(ostree::RefError::from)?;
            let commit = found.commit;
            Ok(ResolvedRef {
                name,
                collection,
                commit,
            })
        })
        .collect()
}

/// A page of a server in place of a ref must not fill the screen.
fn printable(text: &str) -> String {
    let shown = text.chars().take(SHOWN);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
