//! fs-verity: the kernel verifies objects whenever they are read, where the config wants that.
//!
//! Source: `ostree.repo-config(5)`, group `ex-integrity`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use rustix::fs::{AtFlags, FileType};

use crate::Repo;
use crate::config::Wanted;

/// Why the kernel does not verify a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerityError {
    /// The config demands it, and the file system has none.
    #[error("fsverity required but filesystem does not support it")]
    NoVerity,
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for VerityError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoVerity => ErrorClass::Unsupported,
            Self::Io(error) => error.class(),
        }
    }
}

impl Repo {
    /// Let the kernel verify every object, where the config wants that: what a copy of the files has lost.
    ///
    /// # Errors
    /// [`VerityError::NoVerity`] when the config demands it and the file system has none; otherwise what the
    /// system said.
    pub fn enable_verity(&self) -> Result<(), VerityError> {
        if self.config().fsverity == Wanted::No {
            return Ok(());
        }
        for head in 0..=u8::MAX {
            for object in self.objects_in(head)? {
                let path = object.loose_path(self.mode());
                if !self.enable_verity_of(self.objects(), Path::new(&path))? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The same for one file, unless it is no regular one. Whether it makes sense to go on with others.
    ///
    /// # Errors
    /// As [`Repo::enable_verity`].
    pub fn enable_verity_of(&self, dir: BorrowedFd<'_>, path: &Path) -> Result<bool, VerityError> {
        let wanted = self.config().fsverity;
        if wanted == Wanted::No {
            return Ok(false);
        }
        let stat = rustix::fs::statat(dir, path, AtFlags::SYMLINK_NOFOLLOW);
        let mode = stat.during("look at", path)?.st_mode;
        if FileType::from_raw_mode(mode) != FileType::RegularFile {
            return Ok(true);
        }
        match durable::enable_verity(dir, path)? {
            false if wanted == Wanted::Yes => Err(VerityError::NoVerity),
            enabled => Ok(enabled),
        }
    }
}
