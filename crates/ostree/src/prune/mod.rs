//! Pruning: deleting the objects that no commit to be kept needs.
//!
//! A plan is made under the repository's exclusive lock and holds it, so that nobody can publish
//! something that the plan believes to be garbage. Commits are deleted before what they consist of:
//! whoever dies half-way leaves objects that nothing names, never a commit with holes.

mod delete;
mod keep;
mod reachable;

use std::collections::BTreeMap;

use durable::{Lock, LockError};
use error_class::{Classified, ErrorClass};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, ObjectName};
use progress::{Interrupt, Interrupted, Progress};

use crate::{ConfigError, ReadError, RefError, Repo};
use static_delta::DeltaName;

/// Which commits to keep.
///
/// Without a choice every commit is kept, and only objects that belong to none are deleted. The
/// members `keep_younger_than`, `branch_depths` and `only_branches` each imply `refs_only`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Keep only commits that refs name, with as many ancestors as `depth` says.
    pub refs_only: bool,
    /// How many ancestors of a commit are kept.
    pub depth: Depth,
    /// Keep the ancestors of a ref's commit down to the first that is older than this (seconds since
    /// 1970 UTC), instead of by `depth`.
    pub keep_younger_than: Option<u64>,
    /// Depths of single refs, which go before everything else.
    pub branch_depths: BTreeMap<String, Depth>,
    /// Refs to prune; all others keep their whole history. Empty: all refs.
    pub only_branches: Vec<Refspec>,
    /// Delete only commit objects.
    pub commit_only: bool,
}

impl PruneOptions {
    /// Keep what refs name and nothing else, as after a deployment was removed.
    #[must_use]
    pub fn without_ancestors() -> Self {
        Self {
            refs_only: true,
            depth: Depth::Ancestors(0),
            ..Self::default()
        }
    }
}

/// A number of ancestors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// So many: 0 is the commit alone.
    Ancestors(u32),
    /// All that are there.
    #[default]
    All,
}

impl Depth {
    /// What remains for the parent, if it is kept.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::All => Some(self),
            Self::Ancestors(0) => None,
            Self::Ancestors(left) => Some(Self::Ancestors(left - 1)),
        }
    }
}

/// What would be deleted. Nobody can write to the repository as long as it lives.
#[derive(Debug)]
pub struct PrunePlan<'r> {
    repo: &'r Repo,
    /// Objects that were looked at; detached metadata counts as part of its commit.
    pub objects: u64,
    /// Commits that are to be deleted, with their detached metadata.
    pub commits: Vec<Checksum>,
    /// Everything else that is to be deleted.
    pub others: Vec<ObjectName>,
    /// Bytes that the deleted objects take in the store.
    pub bytes: u64,
    /// Static deltas to commits that will not be there, by the directory they stand in.
    pub deltas: Vec<DeltaName>,
    _lock: Option<Lock>,
}

/// What a prune did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneStats {
    /// Objects that were looked at.
    pub objects: u64,
    /// Objects that were deleted.
    pub deleted: u64,
    /// Bytes that they took.
    pub bytes: u64,
}

/// Why a repository was not pruned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The commit is to be deleted, but a ref names it.
    #[error("commit {commit} is referenced by {name}")]
    Referenced {
        /// The commit.
        commit: Checksum,
        /// The ref.
        name: String,
    },
    /// There is no such commit.
    #[error("commit {0} is not in the repository")]
    NoSuchCommit(Checksum),
    /// An object could not be read, so it is not known what it needs.
    #[error("cannot tell what to keep: {0}")]
    Read(#[from] ReadError),
    /// A ref could not be read, so it is not known what it keeps.
    #[error("cannot tell what to keep: {0}")]
    Ref(#[from] RefError),
    /// Somebody else uses the repository.
    #[error("cannot prune the repository: {0}")]
    Lock(#[from] LockError),
    /// The config could not be changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for PruneError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Referenced { .. } => ErrorClass::InvalidInput,
            Self::NoSuchCommit(_) => ErrorClass::NotFound,
            Self::Read(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Config(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Repo {
    /// Find out what a prune would delete; waits for writers and keeps them out.
    ///
    /// # Errors
    /// [`PruneError`]; nothing was changed.
    pub fn plan_prune(
        &self,
        options: &PruneOptions,
        interrupt: &Interrupt,
    ) -> Result<PrunePlan<'_>, PruneError> {
        let lock = self.lock_exclusive()?;
        let kept = self.kept_by(options, interrupt)?;
        let found = kept.others(options.commit_only, interrupt)?;
        let mut plan = PrunePlan {
            repo: self,
            objects: found.objects,
            commits: found.commits,
            others: found.others,
            bytes: found.bytes,
            deltas: Vec::new(),
            _lock: lock,
        };
        for delta in self.list_deltas()? {
            if !self.keeps(&delta.to, &kept)? {
                plan.deltas.push(delta);
            }
        }
        Ok(plan)
    }

    /// Make a plan and carry it out at once.
    ///
    /// # Errors
    /// [`PruneError`]; what was deleted until then is gone, and nothing that is kept.
    pub fn prune(
        &self,
        options: &PruneOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<PruneStats, PruneError> {
        self.plan_prune(options, interrupt)?
            .apply(progress, interrupt)
    }
}

impl PrunePlan<'_> {
    /// What carrying the plan out will have done.
    #[must_use]
    pub fn stats(&self) -> PruneStats {
        PruneStats {
            objects: self.objects,
            deleted: (self.commits.len() + self.others.len()) as u64,
            bytes: self.bytes,
        }
    }
}
