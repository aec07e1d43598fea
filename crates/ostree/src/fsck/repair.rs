//! What follows from damage: which commits it hits, and what is done about it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ostree_format::{Checksum, ObjectKind, ObjectName, limits};
use progress::Interrupt;

use super::{Damage, FsckReport};
use crate::{Partial, PruneError, ReadError, Repo};

/// What became of the damage.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Damaged and missing objects, each with the commits that need it.
    pub needed_by: BTreeMap<ObjectName, BTreeSet<Checksum>>,
    /// Commits that are marked from now on because something of them is missing.
    pub marked: Vec<Checksum>,
}

impl Repo {
    /// Mark the commits that lack something according to `report`, as libostree's fsck does, so that a pull
    /// fetches what is missing; with `delete`, remove damaged objects first.
    ///
    /// # Errors
    /// [`PruneError`]; what was done until then stays, and calling again completes it.
    pub fn repair(
        &self,
        report: &FsckReport,
        delete: bool,
        interrupt: &Interrupt,
    ) -> Result<Repaired, PruneError> {
        let mut damaged = BTreeSet::new();
        let mut missing = BTreeSet::new();
        for damage in &report.damage {
            match damage {
                Damage::Object(
                    ReadError::Damaged { name, .. } | ReadError::BadContent { name, .. },
                ) => {
                    damaged.insert(*name);
                }
                Damage::Missing { missing: name, .. } => {
                    missing.insert(*name);
                }
                _ => {}
            }
        }
        let mut repaired = Repaired {
            needed_by: self.commits_needing(&(&damaged | &missing), interrupt)?,
            marked: Vec::new(),
        };
        if delete {
            let _lock = self.lock_exclusive()?;
            for name in &damaged {
                self.remove_object(name)?;
            }
            missing.append(&mut damaged);
        }
        self.mark(&missing, &mut repaired)?;
        Ok(repaired)
    }

    fn mark(
        &self,
        missing: &BTreeSet<ObjectName>,
        repaired: &mut Repaired,
    ) -> Result<(), durable::Error> {
        // A commit that is gone itself is not partial.
        let objects = missing
            .iter()
            .filter(|name| name.kind != ObjectKind::Commit);
        let hit: BTreeSet<Checksum> = objects
            .filter_map(|name| repaired.needed_by.get(name))
            .flatten()
            .copied()
            .collect();
        for commit in hit {
            if !self.is_partial(&commit)? {
                self.set_partial(&commit, Some(Partial::Damage))?;
                repaired.marked.push(commit);
            }
        }
        if self.config().fsync && !missing.is_empty() {
            durable::sync_filesystem(self.dir())?;
        }
        Ok(())
    }

    /// The commits that need each of `objects`.
    fn commits_needing(
        &self,
        objects: &BTreeSet<ObjectName>,
        interrupt: &Interrupt,
    ) -> Result<BTreeMap<ObjectName, BTreeSet<Checksum>>, PruneError> {
        let mut needed_by = BTreeMap::new();
        if objects.is_empty() {
            return Ok(needed_by);
        }
        for head in 0..=u8::MAX {
            for name in self.objects_in(head)? {
                if name.kind != ObjectKind::Commit {
                    continue;
                }
                interrupt.check()?;
                let mut search = Search {
                    repo: self,
                    objects,
                    commit: name.checksum,
                    dirtrees: HashSet::new(),
                    found: &mut needed_by,
                };
                search.commit();
            }
        }
        Ok(needed_by)
    }
}

/// Looks for objects in one commit. What cannot be read was reported before and ends the way down.
struct Search<'a> {
    repo: &'a Repo,
    objects: &'a BTreeSet<ObjectName>,
    commit: Checksum,
    dirtrees: HashSet<Checksum>,
    found: &'a mut BTreeMap<ObjectName, BTreeSet<Checksum>>,
}

impl Search<'_> {
    fn commit(&mut self) {
        self.meet(self.commit, ObjectKind::Commit);
        if let Ok(commit) = self.repo.load_commit(&self.commit) {
            self.meet(commit.meta, ObjectKind::DirMeta);
            self.dir(commit.contents, limits::MAX_DEPTH);
        }
    }

    fn dir(&mut self, checksum: Checksum, depth: usize) {
        self.meet(checksum, ObjectKind::DirTree);
        if depth == 0 || !self.dirtrees.insert(checksum) {
            return;
        }
        let Ok(tree) = self.repo.load_dirtree(&checksum) else {
            return;
        };
        for (_, file) in &tree.files {
            self.meet(*file, ObjectKind::File);
        }
        for entry in &tree.dirs {
            self.meet(entry.meta, ObjectKind::DirMeta);
            self.dir(entry.contents, depth - 1);
        }
    }

    fn meet(&mut self, checksum: Checksum, kind: ObjectKind) {
        let name = ObjectName::new(checksum, kind);
        if self.objects.contains(&name) {
            self.found.entry(name).or_default().insert(self.commit);
        }
    }
}
