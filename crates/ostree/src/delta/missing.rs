//! Whether a commit is whole.

use std::collections::HashSet;

use ostree_format::{Checksum, ObjectKind, ObjectName, limits};

use crate::{ReadError, Repo};

impl Repo {
    /// The first object that the commit needs and that is not here; `None` when it is whole. Contents are not
    /// looked at.
    ///
    /// # Errors
    /// [`ReadError`] when a metadata object is damaged.
    pub fn missing_object(&self, commit: &Checksum) -> Result<Option<ObjectName>, ReadError> {
        let mut walk = Walk {
            repo: self,
            seen: HashSet::new(),
        };
        let result = self.load_commit(commit).and_then(|commit| {
            walk.need(commit.meta, ObjectKind::DirMeta)?;
            walk.dir(&commit.contents, limits::MAX_DEPTH)
        });
        match result {
            Ok(()) => Ok(None),
            Err(ReadError::Missing(name)) => Ok(Some(name)),
            Err(error) => Err(error),
        }
    }
}

struct Walk<'r> {
    repo: &'r Repo,
    seen: HashSet<ObjectName>,
}

impl Walk<'_> {
    fn need(&mut self, checksum: Checksum, kind: ObjectKind) -> Result<(), ReadError> {
        let name = ObjectName::new(checksum, kind);
        if self.seen.insert(name) && !self.repo.has_object(&name)? {
            return Err(ReadError::Missing(name));
        }
        Ok(())
    }

    fn dir(&mut self, checksum: &Checksum, depth: usize) -> Result<(), ReadError> {
        if !self
            .seen
            .insert(ObjectName::new(*checksum, ObjectKind::DirTree))
        {
            return Ok(());
        }
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep(*checksum))?;
        let tree = self.repo.load_dirtree(checksum)?;
        for (_, file) in &tree.files {
            self.need(*file, ObjectKind::File)?;
        }
        for entry in &tree.dirs {
            self.need(entry.meta, ObjectKind::DirMeta)?;
            self.dir(&entry.contents, depth)?;
        }
        Ok(())
    }
}
