//! One way to a file system for all stores on it: files of two directories can be linked and renamed only where both are
//! reached through the same mount. podman mounts a directory of its storage over itself, and `/var` is often another mount of
//! the file system that `/sysroot` is.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::mount::OpenTreeFlags;

/// Detached copies of mounts, by device and root.
type Copies = HashMap<(String, PathBuf), Arc<OwnedFd>>;

/// Those that were made: only what is reached through the same one can be linked.
static COPIES: Mutex<Option<Copies>> = Mutex::new(None);

/// A line of `/proc/thread-self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mounted {
    id: String,
    device: String,
    /// Which directory of the file system is mounted.
    root: PathBuf,
    /// Where.
    point: PathBuf,
    is_writable: bool,
}

/// The same directory, reached through a mount that nothing is mounted upon and that all directories of the file system share
/// which are reached so; `dir` itself once more, where there is no such way, for example without privileges.
///
/// # Errors
/// There are no descriptors left.
pub fn reach_bare(dir: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    match bare(dir) {
        Some(found) => Ok(found),
        None => dir.try_clone_to_owned(),
    }
}

fn bare(dir: BorrowedFd<'_>) -> Option<OwnedFd> {
    let text = fs::read_to_string("/proc/thread-self/mountinfo").ok()?;
    let all: Vec<Mounted> = text.lines().filter_map(Mounted::parse).collect();
    let own = mount_of(dir)?;
    let own = all.iter().find(|mount| mount.id == own)?;
    let path = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).ok()?;
    let path = own.root.join(path.strip_prefix(&own.point).ok()?);
    let mut ways: Vec<&Mounted> = all
        .iter()
        .filter(|mount| mount.device == own.device && path.starts_with(&mount.root))
        .filter(|mount| mount.is_writable || !own.is_writable)
        .collect();
    ways.sort_by_key(|mount| mount.root.as_os_str().len());
    let mut reached = ways.into_iter().filter_map(|mount| {
        let below = path.strip_prefix(&mount.root).ok()?;
        let found = open(copy_of(mount)?.as_fd(), below)?;
        is_same(found.as_fd(), dir).then_some(found)
    });
    reached.next()
}

/// A detached copy of a mount, which is made once.
fn copy_of(mount: &Mounted) -> Option<Arc<OwnedFd>> {
    let mut copies = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
    let copies = copies.get_or_insert_default();
    let key = (mount.device.clone(), mount.root.clone());
    if let Some(copy) = copies.get(&key) {
        return Some(Arc::clone(copy));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let point = rustix::fs::open(&mount.point, flags, Mode::empty()).ok()?;
    // Something else may be mounted there by now.
    if mount_of(point.as_fd())? != mount.id {
        return None;
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let copy = Arc::new(rustix::mount::open_tree(&point, "", flags).ok()?);
    copies.insert(key, Arc::clone(&copy));
    Some(copy)
}

fn open(dir: BorrowedFd<'_>, below: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let below = if below.as_os_str().is_empty() {
        Path::new(".")
    } else {
        below
    };
    rustix::fs::openat(dir, below, flags, Mode::empty()).ok()
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let stat = |fd| {
        rustix::fs::fstat(fd)
            .ok()
            .map(|stat| (stat.st_dev, stat.st_ino))
    };
    stat(one).is_some() && stat(one) == stat(other)
}

/// The number of the mount that a descriptor is on.
fn mount_of(fd: BorrowedFd<'_>) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    line.map(|id| id.trim().to_owned())
}

impl Mounted {
    /// Source: proc(5).
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (id, _parent, device) = (words.next()?, words.next()?, words.next()?);
        let (root, point, options) = (words.next()?, words.next()?, words.next()?);
        Some(Self {
            id: id.to_owned(),
            device: device.to_owned(),
            root: unescaped(root),
            point: unescaped(point),
            is_writable: options.split(',').any(|option| option == "rw"),
        })
    }
}

/// Spaces and their kin stand there as octal numbers.
fn unescaped(text: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let number = after
            .get(..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let number = number.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match number.filter(|_| *first == b'\\') {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_what_is_mounted_where() {
        let line = r"36 35 98:0 /a\040b /mnt\134x ro,noatime master:1 - ext4 /dev/root rw";
        let found = Mounted::parse(line).unwrap();
        let expected = Mounted {
            id: "36".to_owned(),
            device: "98:0".to_owned(),
            root: "/a b".into(),
            point: r"/mnt\x".into(),
            is_writable: false,
        };
        assert_eq!(found, expected);
        assert_eq!(Mounted::parse("36 35"), None);
    }

    #[test]
    fn a_directory_stays_itself() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "x").unwrap();
        let opened = fs::File::open(dir.path()).unwrap();
        let found = reach_bare(opened.as_fd()).unwrap();
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        assert!(rustix::fs::openat(&found, "file", flags, Mode::empty()).is_ok());
    }
}
