//! Copying files and directories with their attributes, as libostree's `glnx_file_copy_at` does.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use durable::{Error, IoContext as _};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::{attributes, dir};

/// Read this much at once.
const CHUNK: usize = 256 * 1024;

/// Whether extended attributes are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Xattrs {
    Copy,
    LeaveOut,
}

/// A place: a name in an open directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) dir: BorrowedFd<'a>,
    pub(crate) name: &'a Path,
}

impl<'a> Place<'a> {
    pub(crate) fn new(dir: BorrowedFd<'a>, name: &'a Path) -> Self {
        Self { dir, name }
    }

    fn stat(self) -> Result<Stat, Error> {
        rustix::fs::statat(self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW)
            .during("look at", self.name)
    }
}

/// Copy a regular file or a symbolic link to a place where nothing is. Whether it was one of these:
/// anything else is left alone.
pub(crate) fn leaf(from: Place<'_>, to: Place<'_>, xattrs: Xattrs) -> Result<bool, Error> {
    let stat = from.stat()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => file(open_file(from)?.as_fd(), to, xattrs)?,
        FileType::Symlink => link(from, to, &stat, xattrs)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether a directory stands there.
pub(crate) fn is_dir(place: Place<'_>) -> Result<bool, Error> {
    Ok(FileType::from_raw_mode(place.stat()?.st_mode) == FileType::Directory)
}

/// Copy an open regular file to a place where nothing is.
///
/// Owner, attributes, mode and time come last, so that nobody sees more than they may.
pub(crate) fn file(source: BorrowedFd<'_>, to: Place<'_>, xattrs: Xattrs) -> Result<(), Error> {
    let stat = &rustix::fs::fstat(source).during("look at", to.name)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let target = rustix::fs::openat(to.dir, to.name, flags, Mode::from_raw_mode(0o600))
        .during("create", to.name)?;
    content(source, target.as_fd(), stat, to.name)?;
    set_owner(target.as_fd(), stat, to.name)?;
    if xattrs == Xattrs::Copy {
        let found = attributes::of_file(source, to.name)?;
        attributes::set_on_file(target.as_fd(), to.name, &found)?;
    }
    set_mode(target.as_fd(), stat, to.name)?;
    rustix::fs::futimens(&target, &times(stat)).during("set the time of", to.name)
}

fn open_file(from: Place<'_>) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(from.dir, from.name, flags, Mode::empty()).during("open", from.name)
}

fn link(from: Place<'_>, to: Place<'_>, stat: &Stat, xattrs: Xattrs) -> Result<(), Error> {
    let target =
        rustix::fs::readlinkat(from.dir, from.name, Vec::new()).during("read link", from.name)?;
    rustix::fs::symlinkat(&target, to.dir, to.name).during("create link", to.name)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(
        to.dir,
        to.name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .during("set the owner of", to.name)?;
    if xattrs == Xattrs::Copy {
        let found = attributes::of_link(from.dir, from.name)?;
        attributes::set_on_link(to.dir, to.name, &found)?;
    }
    Ok(())
}

/// Copy a directory with everything in it that is a file, a link or a directory, to a place where
/// nothing is. `skipped` is called for what is left out.
pub(crate) fn tree(
    from: Place<'_>,
    to: Place<'_>,
    xattrs: Xattrs,
    skipped: &mut dyn FnMut(&Path),
) -> Result<(), Error> {
    let source = open_dir(from)?;
    let target = new_dir(to)?;
    dir_attributes(source.as_fd(), target.as_fd(), to.name, xattrs)?;
    for (name, kind) in dir::entries(source.as_fd())? {
        let name = Path::new(&name);
        let (from, to) = (
            Place::new(source.as_fd(), name),
            Place::new(target.as_fd(), name),
        );
        if kind == FileType::Directory {
            tree(from, to, xattrs, skipped)?;
        } else if !leaf(from, to, xattrs)? {
            skipped(name);
        }
    }
    Ok(())
}

fn open_dir(place: Place<'_>) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(place.dir, place.name, flags, Mode::empty())
        .during("open directory", place.name)
}

/// A directory that only its owner may look into so far.
pub(crate) fn new_dir(place: Place<'_>) -> Result<OwnedFd, Error> {
    rustix::fs::mkdirat(place.dir, place.name, Mode::from_raw_mode(0o700))
        .during("create directory", place.name)?;
    open_dir(place)
}

/// Give one directory the owner, mode and attributes of another.
pub(crate) fn dir_attributes(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &Path,
    xattrs: Xattrs,
) -> Result<(), Error> {
    if xattrs == Xattrs::Copy {
        attributes::set_on_file(to, name, &attributes::of_file(from, name)?)?;
    }
    let stat = rustix::fs::fstat(from).during("look at", name)?;
    set_owner(to, &stat, name)?;
    set_mode(to, &stat, name)
}

fn set_owner(file: BorrowedFd<'_>, stat: &Stat, name: &Path) -> Result<(), Error> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(file, Some(uid), Some(gid)).during("set the owner of", name)
}

fn set_mode(file: BorrowedFd<'_>, stat: &Stat, name: &Path) -> Result<(), Error> {
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    rustix::fs::fchmod(file, mode).during("set the mode of", name)
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.try_into().unwrap_or_default(),
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

/// Copy bytes within the kernel where it can do that, sharing blocks where the file system can.
fn content(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    stat: &Stat,
    name: &Path,
) -> Result<(), Error> {
    let mut left = u64::try_from(stat.st_size).unwrap_or_default();
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, None, target, None, step) {
            Ok(0) => break,
            Ok(count) => left = left.saturating_sub(count as u64),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
            Err(error) => return Err(error).during("write", name),
        }
    }
    // What is left, and what has been added meanwhile.
    rest(source, target).during("write", name)
}

fn rest(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match rustix::io::read(source, &mut buffer[..]) {
            Ok(0) => return Ok(()),
            Ok(count) => durable::write_all(target, buffer.get(..count).unwrap_or_default())?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Bytes of all regular files below a directory.
pub(crate) fn size_of_tree(place: Place<'_>) -> Result<u64, Error> {
    let source = open_dir(place)?;
    let mut size = 0;
    for (name, kind) in dir::entries(source.as_fd())? {
        let inner = Place::new(source.as_fd(), Path::new(&name));
        size += match kind {
            FileType::Directory => size_of_tree(inner)?,
            FileType::RegularFile => u64::try_from(inner.stat()?.st_size).unwrap_or_default(),
            _ => 0,
        };
    }
    Ok(size)
}

/// A name as it is shown in messages.
pub(crate) fn shown(name: &Path) -> String {
    name.as_os_str().as_bytes().escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn a_copy_is_like_the_original() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        fs::create_dir_all(path("a/sub")).unwrap();
        fs::write(path("a/sub/file"), "x".repeat(300_000)).unwrap();
        std::os::unix::fs::symlink("nowhere", path("a/link")).unwrap();
        testkit::shell(&format!(
            "cd {}/a; chown -h 3:4 link sub/file; chmod 4750 sub/file; chmod 1777 sub; mkfifo fifo;
             setfattr -n user.a -v b sub/file; setfattr -n user.c -v d sub; touch -d @77 sub/file",
            scratch.path().display()
        ));
        let base = File::open(scratch.path()).unwrap();
        let place = |name| Place::new(base.as_fd(), Path::new(name));
        let mut skipped = Vec::new();
        tree(place("a"), place("b"), Xattrs::Copy, &mut |name| {
            skipped.push(shown(name));
        })
        .unwrap();
        assert_eq!(skipped, ["fifo"]);
        fs::remove_file(path("a/fifo")).unwrap();
        testkit::manifest(&path("a")).assert_same(&testkit::manifest(&path("b")));
        let time = fs::metadata(path("b/sub/file"))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(
            time.duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            77
        );
        assert_eq!(size_of_tree(place("b")).unwrap(), 300_000);
    }
}
