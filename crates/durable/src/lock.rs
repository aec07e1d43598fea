use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use error_class::{Classified, ErrorClass};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, IoContext as _};

/// A lock on a file, held until dropped.
///
/// An "open file description" lock (`F_OFD_SETLK`), the kind libostree takes on a repository's
/// `.lock` and on its staging directories, so the two exclude each other.
#[derive(Debug)]
pub struct Lock(
    #[expect(dead_code, reason = "held for its drop, which releases the lock")] OwnedFd,
);

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process held the lock for the whole time that was allowed.
    #[error("{} is locked by another process (waited {} s)", .path.display(), .waited.as_secs())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The lock file could not be opened or locked at all.
    #[error(transparent)]
    Io(#[from] Error),
}

impl Classified for LockError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { .. } => ErrorClass::Locked,
            Self::Io(error) => error.class(),
        }
    }
}

impl Lock {
    /// Lock `name` in `dir` together with other shared holders, waiting up to `timeout`.
    ///
    /// # Errors
    /// [`LockError::Busy`] after `timeout`; otherwise what the system said.
    pub fn shared(dir: BorrowedFd<'_>, name: &Path, timeout: Duration) -> Result<Self, LockError> {
        Self::take(dir, name, libc::F_RDLCK, timeout)
    }

    /// Lock `name` in `dir` alone, waiting up to `timeout`.
    ///
    /// # Errors
    /// [`LockError::Busy`] after `timeout`; otherwise what the system said.
    pub fn exclusive(
        dir: BorrowedFd<'_>,
        name: &Path,
        timeout: Duration,
    ) -> Result<Self, LockError> {
        Self::take(dir, name, libc::F_WRLCK, timeout)
    }

    /// Like [`Self::shared`] for one who only reads, and may not be allowed to do more: where the lock file
    /// cannot be written, it is locked all the same, and where it cannot be created, there is no lock.
    ///
    /// # Errors
    /// [`LockError::Busy`] after `timeout`; otherwise what the system said.
    pub fn reading(
        dir: BorrowedFd<'_>,
        name: &Path,
        timeout: Duration,
    ) -> Result<Option<Self>, LockError> {
        let file = match open(dir, name, OFlags::CREATE | OFlags::RDWR) {
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => open(dir, name, OFlags::RDONLY),
            other => other,
        };
        match file {
            Err(Errno::NOENT | Errno::ACCESS) => Ok(None),
            file => {
                let file = file.during("open lock", name)?;
                Self::wait(file, name, libc::F_RDLCK, timeout).map(Some)
            }
        }
    }

    fn take(
        dir: BorrowedFd<'_>,
        name: &Path,
        kind: i32,
        timeout: Duration,
    ) -> Result<Self, LockError> {
        let file = open(dir, name, OFlags::CREATE | OFlags::RDWR).during("open lock", name)?;
        Self::wait(file, name, kind, timeout)
    }

    fn wait(file: OwnedFd, name: &Path, kind: i32, timeout: Duration) -> Result<Self, LockError> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        while !try_lock(file.as_fd(), kind).during("lock", name)? {
            let waited = started.elapsed();
            if waited >= timeout {
                return Err(LockError::Busy {
                    path: name.to_owned(),
                    waited,
                });
            }
            std::thread::sleep(pause.min(timeout.saturating_sub(waited)));
            pause = (pause * 2).min(Duration::from_millis(100));
        }
        Ok(Self(file))
    }
}

fn open(dir: BorrowedFd<'_>, name: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(0o660);
    rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, mode)
}

/// Whether the lock was free.
fn try_lock(file: BorrowedFd<'_>, kind: i32) -> io::Result<bool> {
    let range = libc::flock {
        l_type: i16::try_from(kind).map_err(|_| io::ErrorKind::InvalidInput)?,
        l_whence: i16::try_from(libc::SEEK_SET).map_err(|_| io::ErrorKind::InvalidInput)?,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&range)) {
        Ok(_) => Ok(true),
        Err(nix::Error::EAGAIN | nix::Error::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_and_exclusive_exclude_each_other() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = std::fs::File::open(scratch.path()).unwrap();
        let name = Path::new(".lock");
        let zero = Duration::ZERO;
        let first = Lock::shared(dir.as_fd(), name, zero).unwrap();
        let second = Lock::shared(dir.as_fd(), name, zero).unwrap();
        assert!(matches!(
            Lock::exclusive(dir.as_fd(), name, zero),
            Err(LockError::Busy { .. })
        ));
        drop((first, second));
        let _alone = Lock::exclusive(dir.as_fd(), name, zero).unwrap();
        assert!(matches!(
            Lock::shared(dir.as_fd(), name, zero),
            Err(LockError::Busy { .. })
        ));
    }
}
