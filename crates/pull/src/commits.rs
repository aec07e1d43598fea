//! Commits: their signatures, what they belong to, how old they are, and what comes with them.

use ostree::{Depth, Partial, ReadError, Repo};
use ostree_format::refs::RefName;
use ostree_format::{Checksum, Commit, Metadata, ObjectKind, ObjectName, RepoMode, limits};

use crate::fetcher::Got;
use crate::http::{Line, date};
use crate::pulling::Pull;
use crate::queue::{CommitJob, Job, TreeJob};
use crate::report::count;
use crate::{Error, Options, Verify};

/// The bytes of a commit, and whether the repository had them before.
struct Found {
    bytes: Vec<u8>,
    stored: bool,
}

impl Pull<'_> {
    /// Bring a commit and find out what belongs to it.
    pub(crate) fn commit(&self, line: &Line, job: &CommitJob) -> Result<(), Error> {
        let checksum = job.checksum;
        let name = ObjectName::new(checksum, ObjectKind::Commit);
        let detached = self.detached(line, &checksum)?;
        let Some(found) = self.found(line, &name, job)? else {
            return self.tombstone(line, &checksum);
        };
        let commit = Commit::from_bytes(&found.bytes);
        let commit = commit.map_err(|source| Error::Malformed { name, source })?;
        self.gate
            .check(job, &commit, &found.bytes, detached.as_deref())?;
        self.keep(&checksum, &found, detached)?;
        let parent = commit.parent.zip(Depth::parent(job.depth));
        self.queue.add(parent.map(|(checksum, depth)| {
            Job::Commit(CommitJob {
                checksum,
                wanted_by: None,
                depth,
                ancestor: true,
            })
        }));
        let partial = self.txn.repo().partial(&checksum)?.is_some();
        if partial && !self.options.commit_only {
            self.queue.add([
                Job::Meta(commit.meta),
                Job::Tree(TreeJob {
                    checksum: commit.contents,
                    path: if self.options.subpaths.is_empty() {
                        ""
                    } else {
                        "/"
                    }
                    .to_owned(),
                    level: 0,
                }),
            ]);
        }
        self.commits
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(checksum);
        Ok(())
    }

    /// Store a commit that passed all checks. It is marked as partial first, so that whoever finds it knows
    /// that its tree may be missing.
    pub(crate) fn store_commit(&self, checksum: &Checksum, bytes: &[u8]) -> Result<(), Error> {
        self.txn
            .repo()
            .set_partial(checksum, Some(Partial::Fetch))?;
        self.txn.write_metadata(ObjectKind::Commit, bytes)?;
        Ok(())
    }

    fn keep(
        &self,
        checksum: &Checksum,
        found: &Found,
        detached: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        if !found.stored {
            self.store_commit(checksum, &found.bytes)?;
        }
        self.keep_detached(checksum, detached)
    }

    pub(crate) fn keep_detached(
        &self,
        checksum: &Checksum,
        detached: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let Some(bytes) = detached else {
            return Ok(());
        };
        let name = ObjectName::new(*checksum, ObjectKind::CommitMeta);
        // Where signatures are asked for, it was refused before; else it has nothing that is of use.
        let Ok(metadata) = Metadata::from_bytes(&bytes) else {
            tracing::warn!("{name} is damaged and passed over");
            return Ok(());
        };
        if self.txn.repo().load_bytes(&name)? == Some(metadata.to_bytes()) {
            return Ok(());
        }
        self.txn.write_detached_metadata(*checksum, &metadata)?;
        Ok(())
    }

    /// The detached metadata that the remote has, or else those that are here. They are asked for each
    /// time, since signatures may have been added.
    fn detached(&self, line: &Line, commit: &Checksum) -> Result<Option<Vec<u8>>, Error> {
        let name = ObjectName::new(*commit, ObjectKind::CommitMeta);
        if let Some(source) = self.source {
            return match source.load_bytes(&name)? {
                Some(bytes) => Ok(Some(bytes)),
                None => Ok(self.txn.repo().load_bytes(&name)?),
            };
        }
        let path = format!("objects/{}", name.loose_path(RepoMode::Archive));
        let (places, limit) = (&self.places.metadata, limits::MAX_METADATA_SIZE);
        match self.fetcher.optional(line, places, &path, limit, None)? {
            Got::Found(small) => {
                count(&self.counters.fetched_metadata);
                Ok(Some(small.bytes))
            }
            Got::NotModified | Got::Absent => Ok(self.txn.repo().load_bytes(&name)?),
        }
    }

    /// The commit; `None` when it is an ancestor that the remote lacks.
    fn found(
        &self,
        line: &Line,
        name: &ObjectName,
        job: &CommitJob,
    ) -> Result<Option<Found>, Error> {
        if let Some(bytes) = self.txn.repo().load_bytes(name)? {
            return Ok(Some(Found {
                bytes,
                stored: true,
            }));
        }
        let fetched = match self.local_metadata(name) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => {
                let announced = self.commit_sizes.get(&name.checksum).copied();
                let limit = announced.unwrap_or(limits::MAX_METADATA_SIZE);
                self.fetched_metadata(line, name, limit)
            }
            Err(error) => Err(error),
        };
        let bytes = match fetched {
            Err(error) if job.ancestor && is_absence(&error) => return Ok(None),
            other => other?,
        };
        let actual = Checksum::of(&bytes);
        if actual != name.checksum {
            let name = *name;
            return Err(Error::Corrupted { name, actual });
        }
        Ok(Some(Found {
            bytes,
            stored: false,
        }))
    }

    /// A remote that marks the commits it deleted must have a mark for one that is missing.
    fn tombstone(&self, line: &Line, commit: &Checksum) -> Result<(), Error> {
        let name = ObjectName::new(*commit, ObjectKind::TombstoneCommit);
        if !self.tombstones || self.txn.repo().has_object(&name)? {
            return Ok(());
        }
        match self.source {
            Some(source) => {
                let bytes = source.load_bytes(&name)?;
                bytes.ok_or(ReadError::Missing(name))?;
            }
            None => {
                self.fetched_metadata(line, &name, limits::MAX_METADATA_SIZE)?;
            }
        }
        Ok(())
    }
}

fn is_absence(error: &Error) -> bool {
    match error {
        Error::Fetch { problem, .. } => problem.is_absence(),
        Error::Read(ReadError::Missing(_)) => true,
        _ => false,
    }
}

/// Everything that may speak against a commit.
#[derive(Clone, Copy)]
pub(crate) struct Gate<'a> {
    pub(crate) repo: &'a Repo,
    pub(crate) options: &'a Options<'a>,
    pub(crate) verify: &'a dyn Verify,
    /// The collection that all commits must belong to.
    pub(crate) collection: Option<&'a str>,
}

impl Gate<'_> {
    /// Whether a commit may be stored, before anything of it is.
    pub(crate) fn check(
        &self,
        job: &CommitJob,
        commit: &Commit,
        bytes: &[u8],
        detached: Option<&[u8]>,
    ) -> Result<(), Error> {
        self.verify.commit(&job.checksum, bytes, detached)?;
        if self.options.verify_bindings {
            let wanted = job.wanted_by.as_ref().map(RefName::as_str);
            let bound = ostree::verify_bindings(commit, self.collection, wanted);
            bound.map_err(|source| Error::Binding {
                commit: job.checksum,
                source,
            })?;
        }
        if job.ancestor {
            return Ok(());
        }
        if self.options.timestamp_check
            && let Some(name) = &job.wanted_by
            && let Some(current) = self.repo.try_resolve(name.as_str())?
        {
            self.check_newer(job.checksum, commit, current)?;
        }
        match self.options.timestamp_check_from {
            Some(current) => self.check_newer(job.checksum, commit, current),
            None => Ok(()),
        }
    }

    fn check_newer(&self, new: Checksum, commit: &Commit, current: Checksum) -> Result<(), Error> {
        let (new_time, current_time) =
            (commit.timestamp, self.repo.load_commit(&current)?.timestamp);
        if new_time >= current_time || new == current {
            return Ok(());
        }
        Err(Error::Older {
            new,
            new_time: date::format(new_time),
            current,
            current_time: date::format(current_time),
        })
    }
}
