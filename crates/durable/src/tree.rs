use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::{Error, IoContext as _};

/// Make the directory `path` below `dir` and its missing parents, each with `mode` less the umask.
///
/// # Errors
/// The first directory that could not be made; those before it stay.
pub fn create_dir_all(dir: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<(), Error> {
    let mut so_far = PathBuf::new();
    for part in path.components() {
        so_far.push(part);
        match rustix::fs::mkdirat(dir, &so_far, Mode::from_raw_mode(mode)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).during("create directory", &so_far),
        }
    }
    Ok(())
}

/// Remove `path` below `dir` with everything in it, without following links. What is absent is fine.
///
/// # Errors
/// The first thing that could not be removed; what was removed before it is gone.
pub fn remove_all(dir: BorrowedFd<'_>, path: &Path) -> Result<(), Error> {
    match rustix::fs::unlinkat(dir, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error).during("remove", path),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, path, flags, Mode::empty()) {
        Ok(inside) => empty(&inside, path)?,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error).during("remove", path),
    }
    match rustix::fs::unlinkat(dir, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).during("remove directory", path),
    }
}

/// Remove everything in `dir`, whose name for messages is `path`. Uses one descriptor per level.
fn empty(dir: &OwnedFd, path: &Path) -> Result<(), Error> {
    let mut entries = Dir::read_from(dir).during("list", path)?;
    while let Some(entry) = entries.read() {
        let entry = entry.during("list", path)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            remove_all(dir.as_fd(), Path::new(name))?;
            continue;
        }
        match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::ISDIR) => remove_all(dir.as_fd(), Path::new(name))?,
            Err(error) => return Err(error).during("remove", path.join(name)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn makes_and_removes_without_following_links() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = File::open(scratch.path()).unwrap();
        create_dir_all(dir.as_fd(), Path::new("a/b/c"), 0o755).unwrap();
        create_dir_all(dir.as_fd(), Path::new("a/b/c"), 0o755).unwrap();
        fs::create_dir(scratch.path().join("kept")).unwrap();
        fs::write(scratch.path().join("kept/file"), "x").unwrap();
        std::os::unix::fs::symlink("../../kept", scratch.path().join("a/b/link")).unwrap();
        remove_all(dir.as_fd(), Path::new("a")).unwrap();
        remove_all(dir.as_fd(), Path::new("a")).unwrap();
        assert!(scratch.path().join("kept/file").exists());
        assert!(!scratch.path().join("a").exists());
    }
}
