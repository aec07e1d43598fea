//! One file: linked if it may be, copied otherwise.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use durable::IoContext as _;
use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::existing::Place;
use super::walk::{Making, Walk};
use super::{CheckoutError, Existing};
use crate::FileObject;

/// What libostree calls a quoted overlayfs whiteout.
const PASSTHROUGH_WHITEOUT: &str = ".ostree-wh.";

impl Walk<'_> {
    pub(super) fn file(
        &self,
        dir: &Arc<Making>,
        name: &str,
        checksum: &Checksum,
    ) -> Result<(), CheckoutError> {
        if self.options.passthrough_whiteouts
            && let Some(hidden) = name.strip_prefix(PASSTHROUGH_WHITEOUT)
        {
            let object = self.repo.open_file(checksum)?;
            if !object.header.is_symlink() {
                return self.whiteout(dir, hidden, &object);
            }
        }
        if self.is_whiteout(dir, name)? {
            return Ok(());
        }
        if self.may_link() && self.link(dir, name, checksum)? {
            self.counters.linked.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let caches = self.caches();
        if caches && self.link_cached(dir, name, checksum)? {
            self.counters.linked.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let object = self.repo.open_file(checksum)?;
        self.check_copy(dir, name, &object)?;
        if self.is_there(dir, name)? && self.make_room(dir, name, checksum)? == Place::Kept {
            return Ok(());
        }
        self.counters.copied.fetch_add(1, Ordering::Relaxed);
        self.counters
            .copied_bytes
            .fetch_add(object.size, Ordering::Relaxed);
        let caches = caches && object.size > 0 && !object.header.is_symlink();
        self.copy(dir, name, object)?;
        if caches {
            self.remember(dir, name, checksum)?;
        }
        Ok(())
    }

    /// Whether an object of this repository has the very attributes that its file is to have.
    fn may_link(&self) -> bool {
        let same = match self.repo.mode() {
            RepoMode::Bare => !self.user_mode,
            RepoMode::BareUser | RepoMode::BareUserOnly => self.user_mode,
            RepoMode::Archive | RepoMode::BareSplitXattrs => false,
        };
        same && !self.options.force_copy
    }

    /// Whether a copy may be made: of what is never linked always.
    fn check_copy(
        &self,
        dir: &Making,
        name: &str,
        object: &FileObject,
    ) -> Result<(), CheckoutError> {
        let never_linked = self.may_link() || object.header.is_symlink() || object.size == 0;
        if self.options.require_hardlinks && !never_linked {
            return Err(CheckoutError::NotLinkable {
                path: dir.path.join(name).display().to_string(),
                mode: self.repo.mode(),
            });
        }
        Ok(())
    }

    /// Whether something is in the way of a copy. In a directory that was made just now nothing is.
    fn is_there(&self, dir: &Making, name: &str) -> Result<bool, CheckoutError> {
        if !dir.existed() {
            return Ok(false);
        }
        match rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error)
                .during("look at", dir.path.join(name))
                .map_err(Into::into),
        }
    }

    /// Link the object, if it is one that is linked and the file system allows it.
    fn link(&self, dir: &Making, name: &str, checksum: &Checksum) -> Result<bool, CheckoutError> {
        let object = ObjectName::new(*checksum, ObjectKind::File);
        let source = object.loose_path(self.repo.mode());
        if !self.is_linkable(object, &source)? {
            return Ok(false);
        }
        let try_link = || {
            rustix::fs::linkat(
                self.repo.objects(),
                &source,
                &dir.fd,
                name,
                AtFlags::empty(),
            )
        };
        let mut linked = try_link();
        if linked == Err(Errno::EXIST) {
            if self.make_room(dir, name, checksum)? == Place::Kept {
                return Ok(true);
            }
            linked = try_link();
        }
        match linked {
            Ok(()) => Ok(true),
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM) if !self.options.require_hardlinks => {
                Ok(false)
            }
            Err(error) => Err(error)
                .during("link", dir.path.join(name))
                .map_err(Into::into),
        }
    }

    fn is_linkable(&self, object: ObjectName, source: &str) -> Result<bool, CheckoutError> {
        let stat = match rustix::fs::statat(self.repo.objects(), source, AtFlags::SYMLINK_NOFOLLOW)
        {
            Err(Errno::NOENT) if self.repo.parent().is_some() => return Ok(false),
            Err(Errno::NOENT) => return Err(crate::ReadError::Missing(object).into()),
            other => other.during("look at object", source)?,
        };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        match self.repo.mode() {
            RepoMode::Bare => Ok(!is_file || stat.st_size != 0),
            // Symbolic links are kept as files here; and what its owner may not read gets another mode.
            RepoMode::BareUser => {
                let header = self.repo.load_file_header(&object.checksum)?;
                Ok(!header.is_symlink() && stat.st_size != 0 && header.mode & 0o400 != 0)
            }
            _ => Ok(is_file && stat.st_size != 0 && stat.st_mode & 0o400 != 0),
        }
    }

    /// Remove a file, and with whiteouts, which may hide anything, also a directory.
    pub(super) fn remove_existing(&self, dir: &Making, name: &str) -> Result<(), durable::Error> {
        if self.options.whiteouts {
            return durable::remove_all(dir.fd.as_fd(), name.as_ref());
        }
        rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()).during("replace", dir.path.join(name))
    }

    /// A character device 0:0, which overlayfs takes for "removed here".
    fn whiteout(&self, dir: &Making, name: &str, object: &FileObject) -> Result<(), CheckoutError> {
        let path = dir.path.join(name);
        if name.is_empty() {
            let path = dir.path.join(PASSTHROUGH_WHITEOUT);
            return Err(CheckoutError::EmptyWhiteout {
                path: path.display().to_string(),
            });
        }
        let mode = Mode::from_raw_mode(object.header.mode & 0o7777);
        let make = || rustix::fs::mknodat(&dir.fd, name, FileType::CharacterDevice, mode, 0);
        let mut made = make();
        if made == Err(Errno::EXIST) && self.options.existing == Existing::Union {
            self.remove_existing(dir, name)?;
            made = make();
        }
        made.during("create whiteout", &path)?;
        self.counters.copied.fetch_add(1, Ordering::Relaxed);
        if self.user_mode {
            return Ok(());
        }
        self.set_link_xattrs(dir, name, object)?;
        self.chown_at(dir, name, object)?;
        rustix::fs::chmodat(&dir.fd, name, mode, AtFlags::empty())
            .during("set the mode of", &path)?;
        Ok(())
    }

    pub(super) fn chown_at(
        &self,
        dir: &Making,
        name: &str,
        object: &FileObject,
    ) -> Result<(), durable::Error> {
        let owner = (
            Uid::from_raw(object.header.uid),
            Gid::from_raw(object.header.gid),
        );
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&dir.fd, name, Some(owner.0), Some(owner.1), flags)
            .during("set the owner of", dir.path.join(Path::new(name)))
    }
}
