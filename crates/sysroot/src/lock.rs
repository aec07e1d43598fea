//! The lock of a sysroot, shared with libostree.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::dir;

/// The lock file, below the physical root.
const LOCK: &str = "ostree/lock";

/// The lock of a sysroot; released when dropped.
///
/// libostree holds an exclusive "open file description" lock on `ostree/lock` and removes the file
/// when it lets go. So whoever gets the lock has to look whether it is the lock of the file that is
/// there now: it may have waited for one that is gone, and a third process holds the new one.
pub(crate) struct SysrootLock {
    dir: OwnedFd,
    file: OwnedFd,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SysrootLockError {
    /// Another process held it for the whole time that was allowed.
    #[error("the system is locked by another process (waited {} s)", .waited.as_secs())]
    Busy {
        /// How long was waited.
        waited: Duration,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for SysrootLockError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Busy { .. } => ErrorClass::Locked,
            Self::Io(error) => error.class(),
        }
    }
}

impl SysrootLock {
    pub(crate) fn take(base: BorrowedFd<'_>, timeout: Duration) -> Result<Self, SysrootLockError> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(lock) = Self::attempt(base)? {
                return Ok(lock);
            }
            let waited = started.elapsed();
            if waited >= timeout {
                return Err(SysrootLockError::Busy { waited });
            }
            std::thread::sleep(pause.min(timeout.saturating_sub(waited)));
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn attempt(base: BorrowedFd<'_>) -> Result<Option<Self>, durable::Error> {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(base, LOCK, flags, Mode::from_raw_mode(0o600))
            .during("open lock", LOCK)?;
        if !try_lock(file.as_fd()).during("lock", LOCK)? || !is_current(base, file.as_fd())? {
            return Ok(None);
        }
        let dir = rustix::io::fcntl_dupfd_cloexec(base, 0).during("keep open", ".")?;
        Ok(Some(Self { dir, file }))
    }
}

/// Whether `file` is still the lock file, and not one that its last holder has removed.
fn is_current(base: BorrowedFd<'_>, file: BorrowedFd<'_>) -> Result<bool, durable::Error> {
    let ours = rustix::fs::fstat(file).during("look at", LOCK)?;
    let theirs = dir::stat_optional(base, LOCK)?;
    Ok(theirs.is_some_and(|stat| (stat.st_dev, stat.st_ino) == (ours.st_dev, ours.st_ino)))
}

fn try_lock(file: BorrowedFd<'_>) -> io::Result<bool> {
    let whole = |value: i32| i16::try_from(value).map_err(|_| io::ErrorKind::InvalidInput);
    let range = libc::flock {
        l_type: whole(libc::F_WRLCK)?,
        l_whence: whole(libc::SEEK_SET)?,
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

impl Drop for SysrootLock {
    /// The file goes while the lock is held, as libostree does it: nobody can be locking it.
    fn drop(&mut self) {
        match rustix::fs::unlinkat(&self.dir, Path::new(LOCK), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // A file that stays is only untidy: the lock itself ends with the descriptor.
            Err(error) => tracing::debug!(%error, "cannot remove {LOCK}"),
        }
    }
}

impl fmt::Debug for SysrootLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SysrootLock").field(&self.file).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn one_holder_at_a_time_and_no_file_afterwards() {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("ostree")).unwrap();
        let base = File::open(scratch.path()).unwrap();
        let held = SysrootLock::take(base.as_fd(), Duration::ZERO).unwrap();
        let refused = SysrootLock::take(base.as_fd(), Duration::from_millis(5)).unwrap_err();
        assert!(matches!(refused, SysrootLockError::Busy { .. }));
        drop(held);
        assert!(!scratch.path().join(LOCK).exists());
        drop(SysrootLock::take(base.as_fd(), Duration::ZERO).unwrap());
    }
}
