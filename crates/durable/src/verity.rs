//! fs-verity: the kernel verifies a file whenever it is read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use composefs_ioctls::fsverity::{
    EnableVerityError, MeasureVerityError, fs_ioc_enable_verity, fs_ioc_measure_verity,
};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, IoContext as _};

/// The kernel's number of SHA-256.
const SHA256: u8 = 1;

/// That of SHA-512.
const SHA512: u8 = 2;

/// Bytes of a block.
const BLOCK: u32 = 4096;

/// Let the kernel verify the regular file `name` below `dir` from now on, with SHA-256 and blocks of 4096
/// bytes; it cannot be changed any more then. Whether the file system can do that. Where it is so already,
/// nothing happens.
///
/// # Errors
/// What the system said, for example that the file is open for writing.
pub fn enable_verity(dir: BorrowedFd<'_>, name: &Path) -> Result<bool, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::empty()).during("open", name)?;
    match fs_ioc_enable_verity(&file, SHA256, BLOCK) {
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

/// What the digests of fs-verity are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerityHash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How the kernel verifies a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// By the digest that was asked for; whether it does so only now.
    Verified {
        /// It did not before.
        new: bool,
    },
    /// Not at all.
    Open,
    /// By another digest of the same kind: its content is another one.
    OtherContent,
    /// By a digest of another kind, which cannot be changed any more.
    OtherHash,
    /// Nothing of that kind can be verified here: the file system or the kernel has no such thing.
    Impossible,
}

/// How the kernel verifies an open file.
///
/// # Errors
/// What the system said.
pub fn seal_of(
    file: impl AsFd,
    name: &Path,
    hash: VerityHash,
    digest: &[u8],
) -> Result<Seal, Error> {
    let measured = match hash {
        VerityHash::Sha256 => {
            let found = fs_ioc_measure_verity::<32>(&file, SHA256);
            found.map(|found| found.as_slice() == digest)
        }
        VerityHash::Sha512 => {
            let found = fs_ioc_measure_verity::<64>(&file, SHA512);
            found.map(|found| found.as_slice() == digest)
        }
    };
    match measured {
        Ok(true) => Ok(Seal::Verified { new: false }),
        Ok(false) => Ok(Seal::OtherContent),
        Err(MeasureVerityError::VerityMissing) => Ok(Seal::Open),
        Err(MeasureVerityError::FilesystemNotSupported) => Ok(Seal::Impossible),
        Err(
            MeasureVerityError::InvalidDigestAlgorithm { .. }
            | MeasureVerityError::InvalidDigestSize { .. },
        ) => Ok(Seal::OtherHash),
        Err(MeasureVerityError::Io(error)) => Err(error).during("measure fs-verity of", name),
    }
}

/// Let the kernel verify a regular file that is open for reading only, with blocks of 4096 bytes; it cannot be changed any
/// more then. One that it verifies already costs one call. [`Seal::Open`] is never the answer; with every other one but
/// [`Seal::Verified`] and [`Seal::OtherContent`] nothing was changed.
///
/// # Errors
/// What the system said, for example that the file is open for writing.
pub fn seal(file: impl AsFd, name: &Path, hash: VerityHash, digest: &[u8]) -> Result<Seal, Error> {
    let before = seal_of(&file, name, hash, digest)?;
    if before != Seal::Open {
        return Ok(before);
    }
    let number = match hash {
        VerityHash::Sha256 => SHA256,
        VerityHash::Sha512 => SHA512,
    };
    let new = match fs_ioc_enable_verity(&file, number, BLOCK) {
        Ok(()) => true,
        Err(EnableVerityError::AlreadyEnabled) => false,
        Err(EnableVerityError::FilesystemNotSupported) => return Ok(Seal::Impossible),
        // The kernel has fs-verity, but not this algorithm.
        Err(EnableVerityError::Io(error)) if is_unknown(&error) => return Ok(Seal::Impossible),
        Err(EnableVerityError::Io(error)) => {
            return Err(error).during("enable fs-verity of", name);
        }
        Err(error) => return Err(io::Error::other(error)).during("enable fs-verity of", name),
    };
    match seal_of(&file, name, hash, digest)? {
        Seal::Verified { .. } => Ok(Seal::Verified { new }),
        other => Ok(other),
    }
}

fn is_unknown(error: &io::Error) -> bool {
    let number = error.raw_os_error();
    number.is_some_and(|number| number == Errno::NOPKG.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file system of processes never has it, whatever the kernel has.
    #[test]
    fn what_cannot_be_verified_is_told() {
        let file = std::fs::File::open("/proc/self/status").unwrap();
        for (hash, digest) in [
            (VerityHash::Sha256, [0; 32].as_slice()),
            (VerityHash::Sha512, [0; 64].as_slice()),
        ] {
            let found = seal(&file, Path::new("status"), hash, digest);
            assert_eq!(found.unwrap(), Seal::Impossible);
        }
    }
}
