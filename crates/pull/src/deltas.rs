//! Static deltas: which of them leads to a commit, and what of it has to be fetched.
//!
//! A delta is applied in a transaction of its own, before the rest: what it did not bring is found and fetched
//! as if there had been none.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ostree::{Partial, Repo, Transaction};
use ostree_format::refs::{RefName, Refspec};
use ostree_format::{Checksum, Commit, ObjectKind, ObjectName, limits};
use static_delta::{DeltaFile, DeltaIndex, DeltaName, Superblock, digests_from_value};

use crate::commits::Gate;
use crate::fetcher::{Fetcher, Got};
use crate::http::Line;
use crate::location::Location;
use crate::queue::CommitJob;
use crate::refs::Wanted;
use crate::report::count;
use crate::{Error, Options, Remote, Report};

/// How many parts are fetched and applied at once; each may need some tens of megabytes.
const PARTS_AT_ONCE: usize = 4;

const SUMMARY_KEY: &str = "ostree.static-deltas";

/// Which delta leads to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// The commit is here.
    Unchanged,
    Nothing,
    /// This one.
    Delta(DeltaName),
}

/// A delta that is to be applied.
#[derive(Debug)]
pub(crate) struct Chosen {
    name: DeltaName,
    delta: Superblock,
    wanted_by: Option<RefName>,
}

/// Who looks for deltas.
pub(crate) struct Deltas<'a> {
    pub(crate) repo: &'a Repo,
    pub(crate) fetcher: &'a Fetcher<'a>,
    pub(crate) line: &'a Line,
    pub(crate) content: &'a [Location],
    pub(crate) remote: &'a Remote,
    pub(crate) options: &'a Options<'a>,
    pub(crate) wanted: &'a Wanted,
    /// How many superblocks and indexes were fetched.
    pub(crate) files: &'a AtomicU64,
    /// Whether every superblock must be one that the signed summary vouches for.
    pub(crate) signed_summary: bool,
}

impl Deltas<'_> {
    /// The deltas that lead to what is wanted.
    pub(crate) fn choose(&self) -> Result<Vec<Chosen>, Error> {
        let listed = self.wanted.summary.as_ref();
        let listed = listed.and_then(|summary| summary.metadata.get(SUMMARY_KEY));
        let listed = listed.map(digests_from_value).unwrap_or_default();
        if self.options.require_deltas && !self.wanted.indexed_deltas && listed.is_empty() {
            return Err(Error::NoDeltas);
        }
        let refs = self
            .wanted
            .refs
            .iter()
            .map(|found| (Some(&found.name), found.commit));
        let bare = self.options.commits.iter().map(|commit| (None, *commit));
        let mut chosen = Vec::new();
        for (name, to) in refs.chain(bare) {
            self.fetcher.interrupt.check()?;
            let mut digests = listed.clone();
            if self.wanted.indexed_deltas {
                digests.extend(self.index(&to)?);
            }
            chosen.extend(self.to(name, to, &digests)?);
        }
        Ok(chosen)
    }

    fn to(
        &self,
        wanted_by: Option<&RefName>,
        to: Checksum,
        digests: &BTreeMap<DeltaName, Checksum>,
    ) -> Result<Option<Chosen>, Error> {
        let current = wanted_by
            .map(|name| self.current(name))
            .transpose()?
            .flatten();
        let known = self.wanted.indexed_deltas || !digests.is_empty();
        let choice = if known {
            self.best(to, current, digests)?
        } else {
            self.guess(to, current)?
        };
        let missing = || Error::NoDelta {
            from: wanted_by.map(ToString::to_string).unwrap_or_default(),
            to,
        };
        match choice {
            Choice::Unchanged => Ok(None),
            Choice::Nothing if self.options.require_deltas => Err(missing()),
            Choice::Nothing => Ok(None),
            Choice::Delta(name) => {
                let Some(delta) = self.superblock(&name, digests.get(&name))? else {
                    let required = self.options.require_deltas;
                    return if required { Err(missing()) } else { Ok(None) };
                };
                let wanted_by = wanted_by.cloned();
                Ok(Some(Chosen {
                    name,
                    delta,
                    wanted_by,
                }))
            }
        }
    }

    fn current(&self, name: &RefName) -> Result<Option<Checksum>, Error> {
        let remote = self.remote.refs_of();
        let name = name.clone();
        Ok(self.repo.read_ref(&Refspec { remote, name })?)
    }

    /// Whether the commit is here with everything that belongs to it.
    fn is_whole(&self, commit: &Checksum) -> Result<bool, Error> {
        let name = ObjectName::new(*commit, ObjectKind::Commit);
        Ok(self.repo.has_object(&name)? && !self.repo.is_partial(commit)?)
    }

    /// From the newest commit that is here; from nothing only where no commit of the ref is here.
    fn best(
        &self,
        to: Checksum,
        current: Option<Checksum>,
        digests: &BTreeMap<DeltaName, Checksum>,
    ) -> Result<Choice, Error> {
        if self.is_whole(&to)? {
            return Ok(Choice::Unchanged);
        }
        let mut newest: Option<(u64, DeltaName)> = None;
        let mut scratch = None;
        for name in digests.keys().filter(|name| name.to == to) {
            let Some(from) = name.from else {
                scratch = Some(*name);
                continue;
            };
            if self.is_whole(&from)? {
                let time = self.repo.load_commit(&from)?.timestamp;
                if newest.is_none_or(|(best, _)| time > best) {
                    newest = Some((time, *name));
                }
            }
        }
        Ok(match (newest, scratch) {
            (Some((_, name)), _) => Choice::Delta(name),
            (None, Some(name)) if current.is_none() || self.options.require_deltas => {
                Choice::Delta(name)
            }
            _ => Choice::Nothing,
        })
    }

    /// Old remotes do not tell which deltas they have.
    fn guess(&self, to: Checksum, current: Option<Checksum>) -> Result<Choice, Error> {
        if self.is_whole(&to)? {
            return Ok(Choice::Unchanged);
        }
        let from = match current {
            Some(current) if self.is_whole(&current)? => Some(current),
            _ => None,
        };
        Ok(Choice::Delta(DeltaName { from, to }))
    }

    fn index(&self, to: &Checksum) -> Result<BTreeMap<DeltaName, Checksum>, Error> {
        let path = DeltaName::index_path(to);
        match self.optional(&path, limits::MAX_METADATA_SIZE)? {
            Some(bytes) => Ok(DeltaIndex::from_bytes(&bytes)?.0),
            None => Ok(BTreeMap::new()),
        }
    }

    fn optional(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self
            .fetcher
            .optional(self.line, self.content, path, limit, None)?
        {
            Got::Found(small) => {
                count(self.files);
                Ok(Some(small.bytes))
            }
            Got::NotModified | Got::Absent => Ok(None),
        }
    }

    fn superblock(
        &self,
        name: &DeltaName,
        digest: Option<&Checksum>,
    ) -> Result<Option<Superblock>, Error> {
        let Some(bytes) = self.optional(&name.superblock_path(), limits::MAX_DELTA_FILE)? else {
            return Ok(None);
        };
        match digest {
            Some(digest) if Checksum::of(&bytes) != *digest => {
                return Err(Error::DeltaDigest(*name));
            }
            None if self.signed_summary => return Err(Error::DeltaUnsigned(*name)),
            _ => {}
        }
        let file = DeltaFile::from_bytes(bytes)?;
        let delta = Superblock::from_bytes(&file.superblock)?;
        self.repo.check_delta(&delta, name)?;
        Ok(Some(delta))
    }

    /// What deltas would cost, in `report`.
    pub(crate) fn estimate(&self, chosen: &[Chosen], report: &mut Report) -> Result<(), Error> {
        for Chosen { delta, .. } in chosen {
            for part in &delta.parts {
                let here = self.repo.has_delta_objects(part)?;
                add(report, here, part.size, part.unpacked_size);
            }
            for fallback in &delta.fallbacks {
                let here = self.repo.has_object(&fallback.object)?;
                add(report, here, fallback.size, fallback.unpacked_size);
            }
        }
        Ok(())
    }
}

fn add(report: &mut Report, here: bool, size: u64, unpacked: u64) {
    report.delta_parts_total += 1;
    report.delta_bytes += size;
    report.delta_bytes_unpacked += unpacked;
    if here {
        report.delta_parts += 1;
        report.delta_bytes_here += size;
    }
}

impl Deltas<'_> {
    /// Apply a delta; how many parts it has.
    pub(crate) fn apply(
        &self,
        txn: &Transaction<'_>,
        chosen: &Chosen,
        gate: Gate<'_>,
    ) -> Result<u64, Error> {
        let Chosen {
            name,
            delta,
            wanted_by,
        } = chosen;
        let object = ObjectName::new(name.to, ObjectKind::Commit);
        if !self.repo.has_object(&object)? {
            let commit = Commit::from_bytes(&delta.commit);
            let commit = commit.map_err(|source| Error::Malformed {
                name: object,
                source,
            })?;
            let job = CommitJob {
                checksum: name.to,
                wanted_by: wanted_by.clone(),
                depth: self.options.depth,
                ancestor: false,
            };
            let detached = delta
                .detached_metadata()
                .map(|metadata| metadata.to_bytes());
            gate.check(&job, &commit, &delta.commit, detached.as_deref())?;
            self.repo.set_partial(&name.to, Some(Partial::Fetch))?;
            txn.write_delta_commit(delta)?;
        }
        self.parts(txn, chosen)?;
        Ok(delta.parts.len() as u64)
    }

    fn parts(&self, txn: &Transaction<'_>, chosen: &Chosen) -> Result<(), Error> {
        let count = chosen.delta.parts.len();
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let work = || {
            let line = self.fetcher.line();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                if let Err(error) = self.part(&line, txn, chosen, index) {
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(error);
                    // Nobody takes another part.
                    next.store(count, Ordering::Relaxed);
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..count.min(PARTS_AT_ONCE) {
                scope.spawn(work);
            }
            work();
        });
        let failure = failure.into_inner().unwrap_or_else(PoisonError::into_inner);
        failure.map_or(Ok(()), Err)
    }

    fn part(
        &self,
        line: &Line,
        txn: &Transaction<'_>,
        chosen: &Chosen,
        index: usize,
    ) -> Result<(), Error> {
        let header = &chosen.delta.parts[index];
        if self.repo.has_delta_objects(header)? {
            return Ok(());
        }
        let part = match chosen.delta.inline_part(index) {
            Some(bytes) => header.open_unchecked(&bytes)?,
            None => {
                let path = chosen.name.part_path(index);
                let places = self.content;
                header.open(&self.fetcher.required(
                    line,
                    places,
                    &path,
                    limits::MAX_DELTA_FILE,
                )?)?
            }
        };
        txn.apply_delta_part(header, &part, self.fetcher.interrupt)?;
        Ok(())
    }
}
