//! The changes of a commit, on metadata that come from elsewhere than a file system: archives.

use std::path::Path;

use ostree_format::{DirMeta, FileHeader, RepoMode, Xattrs};

use super::options::Ownership;
use super::{CommitDirError, CommitDirOptions};
use crate::Transaction;

impl Transaction<'_> {
    /// What is stored for a file or link that is found at `path` (with a leading slash).
    ///
    /// # Errors
    /// [`CommitDirError::Unlabelled`].
    pub fn changed_file(
        &self,
        options: &CommitDirOptions<'_>,
        path: &Path,
        found: FileHeader,
    ) -> Result<FileHeader, CommitDirError> {
        let (uid, gid, mode) = (found.uid, found.gid, found.mode);
        let canonical = self.canonical(options);
        let stored = options.ownership(path, Ownership { uid, gid, mode }, canonical);
        let xattrs = self.changed_xattrs(options, path, stored.mode, found.xattrs)?;
        Ok(stored.header(xattrs, found.symlink))
    }

    /// What is stored for a directory that is found at `path`.
    ///
    /// # Errors
    /// [`CommitDirError::Unlabelled`].
    pub fn changed_dir(
        &self,
        options: &CommitDirOptions<'_>,
        path: &Path,
        found: DirMeta,
    ) -> Result<DirMeta, CommitDirError> {
        let (uid, gid, mode) = (found.uid, found.gid, found.mode);
        let canonical = self.canonical(options);
        let stored = options.ownership(path, Ownership { uid, gid, mode }, canonical);
        let xattrs = self.changed_xattrs(options, path, stored.mode, found.xattrs)?;
        Ok(stored.dirmeta(xattrs))
    }

    fn canonical(&self, options: &CommitDirOptions<'_>) -> bool {
        options.canonical_permissions || self.repo.mode() == RepoMode::BareUserOnly
    }

    fn changed_xattrs(
        &self,
        options: &CommitDirOptions<'_>,
        path: &Path,
        mode: u32,
        found: Xattrs,
    ) -> Result<Xattrs, CommitDirError> {
        let leave_out = self.canonical(options) || self.repo.config().disable_xattrs;
        options.stored_xattrs(path, mode, leave_out, || Ok(found))
    }
}
