//! Verbs on directory descriptors that the whole crate uses.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use durable::{Error, IoContext as _};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Open the directory at `path`, following links.
pub(crate) fn open(base: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<OwnedFd, Error> {
    let path = path.as_ref();
    rustix::fs::openat(base, path, DIRECTORY, Mode::empty()).during("open directory", path)
}

/// As [`open`], but `None` when it does not exist.
pub(crate) fn open_optional(
    base: BorrowedFd<'_>,
    path: impl AsRef<Path>,
) -> Result<Option<OwnedFd>, Error> {
    optional(open(base, path))
}

/// `None` for "not found".
pub(crate) fn optional<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Open the directory at `path` without following a link anywhere on the way.
pub(crate) fn open_inside(base: BorrowedFd<'_>, path: &Path) -> Result<OwnedFd, Error> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(base, path, DIRECTORY, Mode::empty(), resolve)
        .during("open directory", path)
}

/// What stands at `path`, links not followed; `None` when nothing does.
pub(crate) fn stat_optional(
    base: BorrowedFd<'_>,
    path: impl AsRef<Path>,
) -> Result<Option<Stat>, Error> {
    let path = path.as_ref();
    match rustix::fs::statat(base, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).during("look at", path),
    }
}

/// Whether something stands at `path`, links not followed.
pub(crate) fn exists(base: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<bool, Error> {
    Ok(stat_optional(base, path)?.is_some())
}

/// The target of the link at `path`; `None` when nothing stands there.
pub(crate) fn read_link_optional(
    base: BorrowedFd<'_>,
    path: impl AsRef<Path>,
) -> Result<Option<PathBuf>, Error> {
    let path = path.as_ref();
    match rustix::fs::readlinkat(base, path, Vec::new()) {
        Ok(target) => Ok(Some(PathBuf::from(OsString::from_vec(target.into_bytes())))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).during("read link", path),
    }
}

/// Names in a directory with their types, sorted by bytes.
pub(crate) fn entries(dir: BorrowedFd<'_>) -> Result<Vec<(OsString, FileType)>, Error> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir).during("list", ".")? {
        let entry = entry.during("list", ".")?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => kind_of(dir, name)?,
            known => known,
        };
        found.push((name.to_owned(), kind));
    }
    found.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    Ok(found)
}

fn kind_of(dir: BorrowedFd<'_>, name: &OsStr) -> Result<FileType, Error> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).during("look at", name)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// The names in the directory at `path` that are UTF-8; none when there is no such directory.
pub(crate) fn names_below(
    base: BorrowedFd<'_>,
    path: impl AsRef<Path>,
) -> Result<Vec<(String, FileType)>, Error> {
    let Some(dir) = open_optional(base, path)? else {
        return Ok(Vec::new());
    };
    let utf8 = |(name, kind): (OsString, FileType)| Some((name.into_string().ok()?, kind));
    Ok(entries(dir.as_fd())?.into_iter().filter_map(utf8).collect())
}

/// Make the directory at `path` and its missing parents, each new one with exactly `mode`: the umask
/// of whoever runs this must not show in a system.
pub(crate) fn make_all(
    base: BorrowedFd<'_>,
    path: impl AsRef<Path>,
    mode: u32,
) -> Result<(), Error> {
    let mut so_far = PathBuf::new();
    for part in path.as_ref().components() {
        so_far.push(part);
        make(base, &so_far, mode)?;
    }
    Ok(())
}

/// Make one directory with exactly `mode`; whether it was not there.
pub(crate) fn make(base: BorrowedFd<'_>, path: &Path, mode: u32) -> Result<bool, Error> {
    match rustix::fs::mkdirat(base, path, Mode::from_raw_mode(mode)) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(false),
        Err(error) => return Err(error).during("create directory", path),
    }
    rustix::fs::chmodat(base, path, Mode::from_raw_mode(mode), AtFlags::empty())
        .during("set the mode of", path)?;
    Ok(true)
}

/// Remove the file or link at `path`; what is absent is fine.
pub(crate) fn unlink_optional(base: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<(), Error> {
    let path = path.as_ref();
    match rustix::fs::unlinkat(base, path, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).during("remove", path),
    }
}

/// The device number of what `fd` is on.
pub(crate) fn device(fd: BorrowedFd<'_>) -> Result<u64, Error> {
    Ok(rustix::fs::fstat(fd).during("look at", ".")?.st_dev)
}

/// Bytes that an unprivileged writer could still use on the file system of `fd`.
pub(crate) fn free_space(fd: BorrowedFd<'_>) -> Result<u64, Error> {
    let stat = rustix::fs::fstatvfs(fd).during("ask for the free space of", ".")?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn directories_get_their_mode_whatever_the_umask() {
        let scratch = tempfile::tempdir().unwrap();
        let base = File::open(scratch.path()).unwrap();
        make_all(base.as_fd(), "a/b", 0o1777).unwrap();
        make_all(base.as_fd(), "a/b", 0o700).unwrap();
        let mode = |path| {
            fs::metadata(scratch.path().join(path))
                .unwrap()
                .permissions()
                .mode()
        };
        assert_eq!((mode("a") & 0o7777, mode("a/b") & 0o7777), (0o1777, 0o1777));
    }

    #[test]
    fn links_lead_nowhere_inside() {
        let scratch = tempfile::tempdir().unwrap();
        let base = File::open(scratch.path()).unwrap();
        fs::create_dir_all(scratch.path().join("real/sub")).unwrap();
        std::os::unix::fs::symlink("real", scratch.path().join("link")).unwrap();
        assert!(open_inside(base.as_fd(), Path::new("real/sub")).is_ok());
        assert!(open_inside(base.as_fd(), Path::new("")).is_ok());
        for path in ["link", "link/sub", "..", "real/../.."] {
            assert!(
                open_inside(base.as_fd(), Path::new(path)).is_err(),
                "{path}"
            );
        }
    }
}
