//! Which commits are kept.

use std::collections::BTreeSet;

use ostree_format::{Checksum, ObjectKind, ObjectName};
use progress::{Interrupt, Share, Silent, Task, TaskKind};

use super::reachable::Reachable;
use super::{Depth, PruneError, PruneOptions};
use crate::refs::{RefFile, RefOwner};
use crate::{ReadError, RefError, Repo};

impl PruneOptions {
    fn by_refs(&self) -> bool {
        self.refs_only
            || self.keep_younger_than.is_some()
            || !self.branch_depths.is_empty()
            || !self.only_branches.is_empty()
    }

    /// How much of a ref's history is kept; `None` is by age.
    fn depth_of(&self, name: &str, only: &BTreeSet<String>) -> Option<Depth> {
        if let Some(depth) = self.branch_depths.get(name) {
            return Some(*depth);
        }
        if !only.is_empty() && !only.contains(name) {
            return Some(Depth::All);
        }
        match self.keep_younger_than {
            Some(_) => None,
            None => Some(self.depth),
        }
    }
}

impl Repo {
    /// Everything that the commits to be kept need.
    pub(super) fn kept_by<'r>(
        &'r self,
        options: &PruneOptions,
        interrupt: &'r Interrupt,
    ) -> Result<Reachable<'r>, PruneError> {
        let mut kept = Reachable::new(self, options.commit_only, interrupt);
        if options.by_refs() {
            self.keep_refs(options, &mut kept)?;
        } else {
            for commit in self.all_commits()? {
                kept.commit(commit, options.depth)?;
            }
        }
        Ok(kept)
    }

    fn keep_refs(
        &self,
        options: &PruneOptions,
        kept: &mut Reachable<'_>,
    ) -> Result<(), PruneError> {
        let mut only = BTreeSet::new();
        for refspec in &options.only_branches {
            if self.read_ref(refspec)?.is_none() {
                return Err(RefError::NotFound(refspec.to_string()).into());
            }
            only.insert(refspec.to_string());
        }
        for found in self.ref_files()? {
            let name = found.shown();
            let Some((commit, depth)) = keep_one(found, &name, options, &only)? else {
                continue;
            };
            match (depth, options.keep_younger_than) {
                (Some(depth), _) => kept.commit(commit, depth)?,
                (None, limit) => self.keep_younger(commit, limit.unwrap_or_default(), kept)?,
            }
        }
        Ok(())
    }

    /// The commit itself, and its ancestors as long as they are not older than `limit`.
    fn keep_younger(
        &self,
        commit: Checksum,
        limit: u64,
        kept: &mut Reachable<'_>,
    ) -> Result<(), PruneError> {
        kept.commit(commit, Depth::Ancestors(0))?;
        let mut next = Some(commit);
        while let Some(checksum) = next {
            let commit = match self.load_commit(&checksum) {
                Err(ReadError::Missing(_)) => break,
                other => other?,
            };
            if commit.timestamp < limit {
                break;
            }
            kept.commit(checksum, Depth::Ancestors(0))?;
            next = commit.parent;
        }
        Ok(())
    }

    fn all_commits(&self) -> Result<Vec<Checksum>, durable::Error> {
        let mut commits = Vec::new();
        for head in 0..=u8::MAX {
            let names = self.objects_in(head)?.into_iter();
            let found = names.filter(|name| name.kind == ObjectKind::Commit);
            commits.extend(found.map(|name| name.checksum));
        }
        Ok(commits)
    }

    /// Whether the commit will be there when the plan is carried out.
    pub(super) fn keeps(
        &self,
        commit: &Checksum,
        kept: &Reachable<'_>,
    ) -> Result<bool, PruneError> {
        let name = ObjectName::new(*commit, ObjectKind::Commit);
        Ok(kept.has(&name)? && self.has_object(&name)?)
    }
}

/// The commit of a ref and how much of its history is kept, if it names one.
fn keep_one(
    found: RefFile,
    name: &str,
    options: &PruneOptions,
    only: &BTreeSet<String>,
) -> Result<Option<(Checksum, Option<Depth>)>, PruneError> {
    let depth = match found.owner {
        // Mirrored refs are in nobody's list of branches.
        RefOwner::Mirror(_) => Some(options.depth),
        RefOwner::Local | RefOwner::Remote(_) => options.depth_of(name, only),
    };
    Ok(found.commit?.map(|commit| (commit, depth)))
}

impl Reachable<'_> {
    /// What of the whole store is not needed.
    pub(super) fn others(
        &self,
        commit_only: bool,
        interrupt: &Interrupt,
    ) -> Result<Found, PruneError> {
        let heads: Vec<u8> = (0..=u8::MAX).collect();
        let share = Share {
            threads: None,
            batch: 4,
        };
        let found = Task::begin(&Silent, TaskKind::Prune, None).share_out(
            &heads,
            share,
            interrupt,
            Found::default,
            |found, heads| {
                let mut heads = heads.iter();
                heads.try_for_each(|head| self.sort_out(*head, commit_only, found))
            },
        )?;
        Ok(Found::all(found))
    }

    /// Look at the objects of one `xx`.
    fn sort_out(&self, head: u8, commit_only: bool, found: &mut Found) -> Result<(), PruneError> {
        for name in self.repo.objects_in(head)? {
            // Detached metadata goes with its commit; tombstones stay, that is their purpose.
            let follows = matches!(
                name.kind,
                ObjectKind::CommitMeta | ObjectKind::TombstoneCommit
            );
            if follows || commit_only && name.kind != ObjectKind::Commit {
                continue;
            }
            found.objects += 1;
            if self.has(&name)? {
                continue;
            }
            found.bytes += self.repo.stored_size(&name)?.unwrap_or_default();
            match name.kind {
                ObjectKind::Commit => found.commits.push(name.checksum),
                _ => found.others.push(name),
            }
        }
        Ok(())
    }
}

/// What is not needed.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Objects that were looked at.
    pub(super) objects: u64,
    pub(super) commits: Vec<Checksum>,
    pub(super) others: Vec<ObjectName>,
    /// Bytes that all of it takes.
    pub(super) bytes: u64,
}

impl Found {
    /// All of it, in the order of names whichever thread found it.
    fn all(parts: Vec<Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.objects += part.objects;
            all.commits.extend(part.commits);
            all.others.extend(part.others);
            all.bytes += part.bytes;
        }
        all.commits.sort_unstable();
        all.others.sort_unstable();
        all
    }
}
