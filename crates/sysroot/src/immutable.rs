//! The immutable flag of deployment directories: it keeps files from being put beside `/usr` and
//! `/etc` by mistake, not from being changed on purpose.

use std::os::fd::BorrowedFd;

use durable::{Error, IoContext as _};
use rustix::fs::IFlags;
use rustix::io::Errno;

/// Set or clear the flag. Where the file system or the caller's rights do not allow it, nothing
/// happens, as in libostree.
pub(crate) fn set(dir: BorrowedFd<'_>, immutable: bool) -> Result<(), Error> {
    let flags = match rustix::fs::ioctl_getflags(dir) {
        Err(error) if is_unsupported(error) => return Ok(()),
        other => other.during("read the flags of", ".")?,
    };
    let mut wanted = flags;
    wanted.set(IFlags::IMMUTABLE, immutable);
    if wanted == flags {
        return Ok(());
    }
    match rustix::fs::ioctl_setflags(dir, wanted) {
        Err(error) if is_unsupported(error) => Ok(()),
        other => other.during("set the flags of", "."),
    }
}

fn is_unsupported(error: Errno) -> bool {
    matches!(
        error,
        Errno::PERM | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;

    #[test]
    fn keeps_files_out_until_cleared() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = File::open(scratch.path()).unwrap();
        set(dir.as_fd(), true).unwrap();
        let refused = fs::write(scratch.path().join("file"), "").is_err();
        set(dir.as_fd(), false).unwrap();
        set(dir.as_fd(), false).unwrap();
        fs::write(scratch.path().join("file"), "").unwrap();
        assert!(refused, "the scratch file system has no immutable flag");
    }
}
