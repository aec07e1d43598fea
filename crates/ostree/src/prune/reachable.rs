//! Everything that a set of commits needs.

use std::collections::{BTreeSet, HashMap, HashSet};

use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode, limits};
use progress::Interrupt;

use super::{Depth, PruneError};
use crate::{ReadError, Repo};

/// The objects that some commits need.
pub(crate) struct Reachable<'r> {
    pub(super) repo: &'r Repo,
    interrupt: &'r Interrupt,
    commit_only: bool,
    /// With how much of their history they were looked at.
    commits: HashMap<Checksum, Depth>,
    dirtrees: HashSet<Checksum>,
    dirmetas: HashSet<Checksum>,
    files: HashSet<Checksum>,
    xattrs: HashSet<Checksum>,
}

impl<'r> Reachable<'r> {
    pub(crate) fn new(repo: &'r Repo, commit_only: bool, interrupt: &'r Interrupt) -> Self {
        Self {
            repo,
            interrupt,
            commit_only,
            commits: HashMap::new(),
            dirtrees: HashSet::new(),
            dirmetas: HashSet::new(),
            files: HashSet::new(),
            xattrs: HashSet::new(),
        }
    }

    /// Add a commit with so much of its history; ancestors that are not there end it.
    pub(crate) fn commit(&mut self, checksum: Checksum, depth: Depth) -> Result<(), PruneError> {
        let mut next = Some((checksum, depth));
        while let Some((checksum, depth)) = next {
            self.interrupt.check()?;
            // Known with as much history or more: nothing new comes of it.
            let known = self.commits.get(&checksum).copied();
            if known.is_some_and(|known| known >= depth) {
                break;
            }
            let commit = match self.repo.load_commit(&checksum) {
                Err(ReadError::Missing(_)) => break,
                other => other?,
            };
            self.commits.insert(checksum, depth);
            if known.is_none() && !self.commit_only {
                let partial = self.repo.is_partial(&checksum)?;
                self.dirmetas.insert(commit.meta);
                self.dir(&commit.contents, partial, limits::MAX_DEPTH)?;
            }
            next = commit.parent.zip(depth.parent());
        }
        Ok(())
    }

    fn dir(&mut self, checksum: &Checksum, partial: bool, depth: usize) -> Result<(), PruneError> {
        if !self.dirtrees.insert(*checksum) {
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep(*checksum))?;
        let tree = match self.repo.load_dirtree(checksum) {
            Err(ReadError::Missing(_)) if partial => {
                // Another commit may have it whole.
                self.dirtrees.remove(checksum);
                return Ok(());
            }
            other => other?,
        };
        for (_, file) in &tree.files {
            self.file(file)?;
        }
        for entry in &tree.dirs {
            self.dirmetas.insert(entry.meta);
            self.dir(&entry.contents, partial, depth)?;
        }
        Ok(())
    }

    fn file(&mut self, checksum: &Checksum) -> Result<(), PruneError> {
        if self.files.insert(*checksum) && self.repo.mode() == RepoMode::BareSplitXattrs {
            let link = ObjectName::new(*checksum, ObjectKind::FileXattrsLink);
            if let Some(bytes) = self.repo.load_bytes(&link)? {
                self.xattrs.insert(Checksum::of(&bytes));
            }
        }
        Ok(())
    }

    /// Everything that was found, without what stands beside objects.
    fn into_names(self) -> BTreeSet<ObjectName> {
        let named = |kind| move |checksum| ObjectName::new(checksum, kind);
        let commits = self.commits.into_keys().map(named(ObjectKind::Commit));
        commits
            .chain(self.dirtrees.into_iter().map(named(ObjectKind::DirTree)))
            .chain(self.dirmetas.into_iter().map(named(ObjectKind::DirMeta)))
            .chain(self.files.into_iter().map(named(ObjectKind::File)))
            .collect()
    }

    /// Whether the object is needed.
    pub(crate) fn has(&self, name: &ObjectName) -> Result<bool, PruneError> {
        let checksum = &name.checksum;
        Ok(match name.kind {
            ObjectKind::Commit | ObjectKind::CommitMeta | ObjectKind::TombstoneCommit => {
                self.commits.contains_key(checksum)
            }
            ObjectKind::DirTree => self.dirtrees.contains(checksum),
            ObjectKind::DirMeta => self.dirmetas.contains(checksum),
            ObjectKind::File | ObjectKind::FileXattrsLink => self.files.contains(checksum),
            ObjectKind::FileXattrs => self.xattrs.contains(checksum),
            ObjectKind::PayloadLink => {
                let target = self.repo.payload_link_target(checksum)?;
                target.is_some_and(|file| self.files.contains(&file))
            }
        })
    }
}

impl Repo {
    /// A commit and all objects of its tree.
    ///
    /// # Errors
    /// [`PruneError`], also when one is missing that the commit does not lack by its own account.
    pub fn reachable_objects(
        &self,
        commit: &Checksum,
        interrupt: &Interrupt,
    ) -> Result<BTreeSet<ObjectName>, PruneError> {
        let mut reachable = Reachable::new(self, false, interrupt);
        reachable.commit(*commit, Depth::Ancestors(0))?;
        Ok(reachable.into_names())
    }
}
