use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::{Error, IoContext as _, crash_point};

/// Replace the file `name` in `dir` by `bytes`, durably: after return the new content survives a power
/// cut, and at any moment either the old or the new content is there.
///
/// `name` may have parent directories, which must exist.
///
/// # Errors
/// The failing step. The old file is untouched then; a temporary file is removed.
pub fn publish(dir: BorrowedFd<'_>, name: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    replace(dir, name, bytes, mode, true)?;
    let parent = name
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent_fd = rustix::fs::openat(dir, parent, flags, Mode::empty()).during("open", parent)?;
    sync_dir(parent_fd.as_fd())
}

/// As [`publish`], but nothing is synced: for callers that sync the whole file system afterwards.
///
/// # Errors
/// The failing step. The old file is untouched then.
pub fn publish_no_sync(
    dir: BorrowedFd<'_>,
    name: &Path,
    bytes: &[u8],
    mode: u32,
) -> Result<(), Error> {
    replace(dir, name, bytes, mode, false)
}

fn replace(
    dir: BorrowedFd<'_>,
    name: &Path,
    bytes: &[u8],
    mode: u32,
    sync: bool,
) -> Result<(), Error> {
    let temp = temporary_beside(name);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, &temp, flags, Mode::from_raw_mode(0o600))
        .during("create", &temp)?;
    let result = fill(file.as_fd(), bytes, mode, sync, name).and_then(|()| {
        crash_point("publish:before-rename");
        rustix::fs::renameat(dir, &temp, dir, name).during("rename over", name)
    });
    if result.is_err() {
        // The name is ours alone; what counts is the first failure.
        let _unremoved = rustix::fs::unlinkat(dir, &temp, AtFlags::empty());
    }
    result
}

fn fill(
    file: BorrowedFd<'_>,
    bytes: &[u8],
    mode: u32,
    sync: bool,
    name: &Path,
) -> Result<(), Error> {
    write_all(file, bytes).during("write", name)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).during("set the mode of", name)?;
    if sync {
        rustix::fs::fsync(file).during("sync", name)?;
    }
    Ok(())
}

/// Write all of `bytes` to `file`.
///
/// # Errors
/// What the system said; part of the bytes may have been written.
pub fn write_all(file: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Point the symbolic link `name` in `dir` at `target`, replacing what is there in one step.
/// Nothing is synced.
///
/// # Errors
/// The failing step. The old link is untouched then.
pub fn replace_symlink(dir: BorrowedFd<'_>, name: &Path, target: &Path) -> Result<(), Error> {
    let temp = temporary_beside(name);
    rustix::fs::symlinkat(target, dir, &temp).during("create link", &temp)?;
    crash_point("replace-symlink:before-rename");
    let renamed = rustix::fs::renameat(dir, &temp, dir, name).during("rename over", name);
    if renamed.is_err() {
        let _unremoved = rustix::fs::unlinkat(dir, &temp, AtFlags::empty());
    }
    renamed
}

/// A name in the same directory that no other call uses at the same time.
fn temporary_beside(name: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut file = OsString::from(".");
    file.push(name.file_name().unwrap_or_default());
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    file.push(format!(
        ".{}-{count}.tmp",
        rustix::process::getpid().as_raw_nonzero()
    ));
    name.with_file_name(file)
}

/// Flush everything written to the file system that holds `fd`.
///
/// # Errors
/// What the system said; then nothing may be taken to be on disk.
pub fn sync_filesystem(fd: BorrowedFd<'_>) -> Result<(), Error> {
    rustix::fs::syncfs(fd).during("sync the file system of", ".")
}

/// Flush a file, which messages call `path`.
///
/// # Errors
/// What the system said; then its bytes may not be on disk.
pub fn sync_file(file: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    rustix::fs::fsync(file).during("sync", path)
}

/// Flush a directory's entries.
///
/// # Errors
/// What the system said.
pub fn sync_dir(dir: BorrowedFd<'_>) -> Result<(), Error> {
    rustix::fs::fsync(dir).during("sync", ".")
}

/// The content of `path`, or `None` when it does not exist; refuses files above `limit` bytes.
///
/// # Errors
/// What the system said; `FileTooLarge` above the limit.
pub fn read_optional(
    dir: BorrowedFd<'_>,
    path: &Path,
    limit: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        other => File::from(other.during("open", path)?),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .during("read", path)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= limit) {
        Ok(Some(bytes))
    } else {
        Err(io::Error::from(io::ErrorKind::FileTooLarge)).during("read", path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_replaces_and_leaves_nothing_beside() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = File::open(scratch.path()).unwrap();
        let name = Path::new("file");
        publish(dir.as_fd(), name, b"old", 0o600).unwrap();
        publish(dir.as_fd(), name, b"new", 0o644).unwrap();
        assert_eq!(
            read_optional(dir.as_fd(), name, 3).unwrap().unwrap(),
            b"new"
        );
        assert!(read_optional(dir.as_fd(), name, 2).is_err());
        assert_eq!(
            read_optional(dir.as_fd(), Path::new("absent"), 2).unwrap(),
            None
        );
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn failure_keeps_the_old() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = File::open(scratch.path()).unwrap();
        std::fs::create_dir(scratch.path().join("busy")).unwrap();
        assert!(publish(dir.as_fd(), Path::new("busy"), b"x", 0o600).is_err());
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn symlink_is_replaced() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = File::open(scratch.path()).unwrap();
        for target in ["a", "b"] {
            replace_symlink(dir.as_fd(), Path::new("l"), Path::new(target)).unwrap();
            assert_eq!(
                std::fs::read_link(scratch.path().join("l")).unwrap(),
                Path::new(target)
            );
        }
    }
}
