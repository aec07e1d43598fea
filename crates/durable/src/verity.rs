//! fs-verity: the kernel verifies a file whenever it is read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use composefs_ioctls::fsverity::{
    EnableVerityError, MeasureVerityError, fs_ioc_enable_verity, fs_ioc_measure_verity,
};
use rustix::fs::{Mode, OFlags};

use crate::{Error, IoContext as _};

/// The kernel's number of SHA-256.
const SHA256: u8 = 1;

/// Let the kernel verify the regular file `name` below `dir` from now on, with SHA-256 and blocks of 4096
/// bytes; it cannot be changed any more then. Whether the file system can do that. Where it is so already,
/// nothing happens.
///
/// # Errors
/// What the system said, for example that the file is open for writing.
pub fn enable_verity(dir: BorrowedFd<'_>, name: &Path) -> Result<bool, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty()).during("open", name)?;
    match fs_ioc_enable_verity(&file, SHA256, 4096) {
        Ok(()) | Err(EnableVerityError::AlreadyEnabled) => Ok(true),
        Err(EnableVerityError::FilesystemNotSupported) => Ok(false),
        Err(EnableVerityError::Io(error)) => Err(error).during("enable fs-verity of", name),
        Err(error) => Err(io::Error::other(error)).during("enable fs-verity of", name),
    }
}

/// The file system knows nothing of fs-verity: no file there is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoVerity;

/// The digest of SHA-256 by which the kernel verifies an open file; `None` when it does not.
///
/// # Errors
/// [`NoVerity`]: it is the same for all files of this file system.
pub fn verity_digest(file: impl AsFd) -> Result<Option<[u8; 32]>, NoVerity> {
    let measured: Result<[u8; 32], MeasureVerityError> = fs_ioc_measure_verity(file, SHA256);
    match measured {
        Err(MeasureVerityError::FilesystemNotSupported) => Err(NoVerity),
        // Not enabled, another algorithm, not readable: there is no such digest.
        other => Ok(other.ok()),
    }
}
