//! What a commit is made of.

use std::collections::{BTreeMap, BTreeSet};

use ostree_format::{Checksum, ObjectKind, ObjectName, limits};

use crate::{ReadError, Repo};

/// The objects of a commit, without the commit itself.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) metadata: BTreeSet<ObjectName>,
    /// Files, with the names they have.
    pub(super) files: BTreeMap<Checksum, BTreeSet<String>>,
}

impl Contents {
    pub(super) fn of(repo: &Repo, commit: &Checksum) -> Result<Self, ReadError> {
        let mut contents = Self::default();
        let commit = repo.load_commit(commit)?;
        contents
            .metadata
            .insert(ObjectName::new(commit.meta, ObjectKind::DirMeta));
        contents.dir(repo, &commit.contents, limits::MAX_DEPTH)?;
        Ok(contents)
    }

    fn dir(&mut self, repo: &Repo, checksum: &Checksum, depth: usize) -> Result<(), ReadError> {
        let name = ObjectName::new(*checksum, ObjectKind::DirTree);
        if !self.metadata.insert(name) {
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep(*checksum))?;
        let tree = repo.load_dirtree(checksum)?;
        for (name, file) in tree.files {
            self.files.entry(file).or_default().insert(name);
        }
        for entry in &tree.dirs {
            self.metadata
                .insert(ObjectName::new(entry.meta, ObjectKind::DirMeta));
            self.dir(repo, &entry.contents, depth)?;
        }
        Ok(())
    }
}
