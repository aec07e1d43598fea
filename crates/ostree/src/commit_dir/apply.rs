//! The changes of a commit, on metadata that come from elsewhere than a file system: archives.

use std::path::Path;

use ostree_format::{DirMeta, FileHeader, RepoMode, Xattrs, mode};

use super::options::Ownership;
use super::{CommitDirError, CommitDirOptions};
use crate::Transaction;

/// Where SELinux keeps its label.
const SELINUX: &[u8] = b"security.selinux";

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
        Ok(FileHeader {
            uid: stored.uid,
            gid: stored.gid,
            mode: stored.mode & (mode::S_IFMT | 0o7777),
            xattrs: self.changed_xattrs(options, path, stored.mode, found.xattrs)?,
            symlink: found.symlink,
        })
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
        Ok(DirMeta {
            uid: stored.uid,
            gid: stored.gid,
            mode: mode::S_IFDIR | stored.mode & 0o7777,
            xattrs: self.changed_xattrs(options, path, stored.mode, found.xattrs)?,
        })
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
        let skip =
            options.skip_xattrs || self.canonical(options) || self.repo.config().disable_xattrs;
        let mut xattrs = if skip { Xattrs::new() } else { found };
        let label = options.label.and_then(|label| label(path, mode));
        match label {
            Some(label) => xattrs.insert(SELINUX, &label),
            None if options.label.is_some() && options.require_label => {
                let path = path.to_owned();
                return Err(CommitDirError::Unlabelled { path });
            }
            None => {}
        }
        Ok(xattrs)
    }
}
