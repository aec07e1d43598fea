//! The walk over the directories.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use durable::IoContext as _;
use ostree_format::{RepoMode, Xattrs, limits};
use rustix::fs::{AtFlags, Dir as Entries, FileType, Mode, OFlags};
use tree::{Dir, Name, Node};

use super::options::Ownership;
use super::{CommitDirError, Job, Shared, Skeleton, shown};
use crate::content::descriptor_xattrs;

impl Shared<'_, '_> {
    pub(super) fn scan(
        &self,
        source: BorrowedFd<'_>,
        jobs: &SyncSender<Job>,
    ) -> Result<Skeleton, CommitDirError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root =
            rustix::fs::openat(source, ".", flags, Mode::empty()).during("open directory", "/")?;
        self.directory(root, PathBuf::new(), jobs, &mut 0, limits::MAX_DEPTH)
    }

    fn directory(
        &self,
        dir: OwnedFd,
        path: PathBuf,
        jobs: &SyncSender<Job>,
        slots: &mut usize,
        depth: usize,
    ) -> Result<Skeleton, CommitDirError> {
        self.interrupt.check()?;
        let Some(depth) = depth.checked_sub(1) else {
            return Err(CommitDirError::TooDeep { path });
        };
        let mut result = Dir::new(self.dirmeta(&dir, &path)?);
        let dir = Arc::new(dir);
        for (name, kind) in entries(&dir, &path)? {
            // The root's path is empty here, so that those below it get one slash.
            let child = Path::new("/").join(&path).join(&name);
            if self.options.skip.contains(&child) {
                self.lock(&self.applied).skips.insert(child);
                continue;
            }
            if name.to_str().is_none() {
                return Err(CommitDirError::NotUtf8 { path: child });
            }
            let Ok(key) = Name::new(name.as_bytes()) else {
                continue;
            };
            let node = match kind {
                FileType::Directory => {
                    let flags =
                        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let subdir = rustix::fs::openat(&dir, &name, flags, Mode::empty())
                        .during("open directory", &child)?;
                    Node::Dir(self.directory(subdir, child, jobs, slots, depth)?)
                }
                FileType::RegularFile | FileType::Symlink => {
                    let slot = *slots;
                    *slots += 1;
                    let job = Job {
                        dir: Arc::clone(&dir),
                        name: name.into(),
                        path: child,
                        slot,
                    };
                    self.hand_over(job, jobs)?;
                    Node::Leaf(slot)
                }
                _ => return Err(CommitDirError::FileType { path: child }),
            };
            result.children.insert(key, node);
        }
        Ok(result)
    }

    fn dirmeta(
        &self,
        dir: &OwnedFd,
        path: &Path,
    ) -> Result<ostree_format::Checksum, CommitDirError> {
        let path = shown(path);
        let stat = rustix::fs::fstat(dir).during("look at", path)?;
        let stored = self.stored(path, Ownership::of(&stat));
        let xattrs = self.xattrs(path, stored.mode, || descriptor_xattrs(dir.as_fd(), path))?;
        let meta = stored.dirmeta(xattrs);
        if self.options.checksums_only {
            return Ok(meta.checksum());
        }
        let written = self.txn.write_dirmeta(&meta);
        written.map_err(|source| CommitDirError::Write {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Whether owners and attributes are not kept.
    pub(super) fn canonical(&self) -> bool {
        let user_only = self.txn.repo.mode() == RepoMode::BareUserOnly;
        self.options.canonical_permissions || user_only && !self.options.checksums_only
    }

    pub(super) fn stored(&self, path: &Path, found: Ownership) -> Ownership {
        if self.options.names_mode(path) {
            self.lock(&self.applied).modes.insert(path.to_owned());
        }
        self.options.ownership(path, found, self.canonical())
    }

    /// The attributes that are stored for `path`; `read` is called when those of the file count.
    pub(super) fn xattrs(
        &self,
        path: &Path,
        mode: u32,
        read: impl FnOnce() -> Result<Xattrs, durable::Error>,
    ) -> Result<Xattrs, CommitDirError> {
        let leave_out = self.canonical() || self.txn.repo.config().disable_xattrs;
        self.options.stored_xattrs(path, mode, leave_out, read)
    }
}

/// Names and types of what is in a directory.
pub(super) fn entries(
    dir: &OwnedFd,
    path: &Path,
) -> Result<Vec<(OsString, FileType)>, durable::Error> {
    let mut found = Vec::new();
    for entry in Entries::read_from(dir).during("list", shown(path))? {
        let entry = entry.during("list", shown(path))?;
        let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW)
                    .during("look at", path.join(&name))?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        found.push((name, kind));
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}
