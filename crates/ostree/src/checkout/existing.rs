//! What is done about things that are there already.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;

use durable::IoContext as _;
use ostree_format::{Checksum, FileHeader, RepoMode, Xattrs};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::walk::{Making, Walk};
use super::{CheckoutError, Existing};
use crate::content::{descriptor_xattrs, link_xattrs_at};

/// Hides what layers below have.
const WHITEOUT: &str = ".wh.";
/// Hides everything that is in the directory.
const OPAQUE: &str = ".wh..wh..opq";

/// What became of something that was in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It stays, so there is nothing to do.
    Kept,
    /// It is gone.
    Free,
}

impl Walk<'_> {
    /// Deal with what stands where `name` is to be.
    pub(super) fn make_room(
        &self,
        dir: &Making,
        name: &str,
        checksum: &Checksum,
    ) -> Result<Place, CheckoutError> {
        match self.options.existing {
            Existing::Add => Ok(Place::Kept),
            Existing::Identical if self.is_identical(dir, name, checksum)? => Ok(Place::Kept),
            Existing::Union => {
                self.remove_existing(dir, name)?;
                Ok(Place::Free)
            }
            Existing::Refuse | Existing::Identical => Err(CheckoutError::Exists {
                path: dir.path.join(name).display().to_string(),
            }),
        }
    }

    /// Whether the very object, or a file of the same checksum, is there.
    fn is_identical(
        &self,
        dir: &Making,
        name: &str,
        checksum: &Checksum,
    ) -> Result<bool, CheckoutError> {
        let stat = rustix::fs::statat(&dir.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            .during("look at", dir.path.join(name))?;
        let found = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => self.hash_link(dir, name, &stat)?,
            FileType::RegularFile => Some(self.hash_file(dir, name, &stat)?),
            _ => None,
        };
        Ok(found == Some(*checksum))
    }

    /// The checksum of a symbolic link; `None` when OSTree could not hold it.
    fn hash_link(
        &self,
        dir: &Making,
        name: &str,
        stat: &Stat,
    ) -> Result<Option<Checksum>, CheckoutError> {
        let target = rustix::fs::readlinkat(&dir.fd, name, Vec::new())
            .during("read link", dir.path.join(name))?;
        let Ok(target) = target.into_string() else {
            return Ok(None);
        };
        let xattrs = self.kept(|| link_xattrs_at(dir.fd.as_fd(), name.as_ref()))?;
        let (uid, gid) = self.owner(stat);
        let header = FileHeader::symlink(uid, gid, target, xattrs);
        Ok(Some(header.checksum(&[])))
    }

    fn hash_file(&self, dir: &Making, name: &str, stat: &Stat) -> Result<Checksum, CheckoutError> {
        let path = dir.path.join(name);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir.fd, name, flags, Mode::empty()).during("open", &path)?;
        let xattrs = self.kept(|| descriptor_xattrs(file.as_fd(), &path))?;
        let (uid, gid) = self.owner(stat);
        let mut hasher = FileHeader::regular(uid, gid, stat.st_mode, xattrs).hasher();
        let mut file = File::from(file);
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = file.read(&mut buffer).during("read", &path)?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(buffer.get(..count).unwrap_or_default());
        }
    }

    /// Owners count where the repository keeps them.
    fn owner(&self, stat: &Stat) -> (u32, u32) {
        match self.repo.mode() {
            RepoMode::BareUserOnly => (0, 0),
            _ => (stat.st_uid, stat.st_gid),
        }
    }

    /// Attributes count where the repository keeps them.
    fn kept(
        &self,
        read: impl FnOnce() -> Result<Xattrs, durable::Error>,
    ) -> Result<Xattrs, durable::Error> {
        let keeps = self.repo.mode() != RepoMode::BareUserOnly;
        if keeps && !self.repo.config().disable_xattrs {
            read()
        } else {
            Ok(Xattrs::new())
        }
    }

    /// Empty a directory that the tree hides.
    pub(super) fn clear_opaque(
        &self,
        dir: &Making,
        files: &[(String, Checksum)],
    ) -> Result<(), CheckoutError> {
        let opaque = files.iter().any(|(name, _)| name == OPAQUE);
        if !self.options.whiteouts || !opaque || !dir.existed() {
            return Ok(());
        }
        for entry in rustix::fs::Dir::read_from(&dir.fd).during("list", &dir.path)? {
            let entry = entry.during("list", &dir.path)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                durable::remove_all(dir.fd.as_fd(), name.as_ref())?;
            }
        }
        Ok(())
    }

    /// Whether `name` is a whiteout; what it hides is removed then.
    pub(super) fn is_whiteout(&self, dir: &Making, name: &str) -> Result<bool, CheckoutError> {
        let Some(hidden) = name
            .strip_prefix(WHITEOUT)
            .filter(|_| self.options.whiteouts)
        else {
            return Ok(false);
        };
        if hidden.is_empty() {
            let path = dir.path.join(name).display().to_string();
            return Err(CheckoutError::EmptyWhiteout { path });
        }
        if name != OPAQUE {
            durable::remove_all(dir.fd.as_fd(), hidden.as_ref())?;
        }
        Ok(true)
    }
}
