//! Partly fetched blobs, kept in a directory so that an error, a kill or a reboot costs only what had
//! not arrived yet.
//!
//! A part is the beginning of a blob, in a file named after its digest. Nothing vouches for its
//! content: it is read again from its start, and whoever reads the blob verifies the digest over the
//! whole. What is kept is bounded, in bytes and in age, and it never comes at the cost of a fetch: when
//! a part cannot be written, the blob is fetched without.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};

use crate::digest::Digest;

const SUFFIX: &str = ".part";

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct PartLimits {
    /// All parts together, in bytes; never more than a quarter of what is free in the file system.
    pub bytes: u64,
    /// How long a part that nobody continues is kept, in seconds.
    pub age: u64,
    /// Blobs of fewer bytes are not worth keeping in part.
    pub smallest_blob: u64,
}

impl Default for PartLimits {
    fn default() -> Self {
        Self {
            bytes: 8 << 30,
            age: 7 * 24 * 60 * 60,
            smallest_blob: 256 << 10,
        }
    }
}

/// A directory of partly fetched blobs. Cloning is cheap. Several processes may use one directory: a
/// part that another one writes to is left to it.
#[derive(Debug, Clone)]
pub struct Parts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: OwnedFd,
    limits: PartLimits,
    /// Bytes in the directory.
    used: AtomicU64,
    /// Blobs whose kept beginning was used by this process.
    continued: Mutex<BTreeSet<Digest>>,
}

/// The kept beginning of one blob, held by this process alone.
#[derive(Debug)]
pub(crate) struct Part {
    shared: Arc<Shared>,
    file: File,
    len: u64,
    /// Whether more may be added.
    growing: bool,
}

impl Parts {
    /// Parts in a directory of which nothing else is kept. Removes what is too old, and the oldest
    /// parts when there is too much. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn open(dir: OwnedFd, limits: PartLimits, now: u64) -> io::Result<Self> {
        let limits = PartLimits {
            bytes: limits.bytes.min(free_bytes(&dir)? / 4),
            ..limits
        };
        let used = collect(&dir, &limits, now)?;
        Ok(Self(Arc::new(Shared {
            dir,
            limits,
            used: AtomicU64::new(used),
            continued: Mutex::default(),
        })))
    }

    /// The part of a blob; none when the blob is too small, or when the part cannot be used now, as
    /// when another reader has it.
    pub(crate) fn hold(&self, digest: &Digest, size: u64) -> Option<Part> {
        if size < self.0.limits.smallest_blob {
            return None;
        }
        let part = self.try_hold(digest, size);
        part.unwrap_or_else(|error| {
            tracing::debug!(blob = %digest, %error, "nothing is kept of this blob");
            None
        })
    }

    fn try_hold(&self, digest: &Digest, size: u64) -> io::Result<Option<Part>> {
        let name = file_name(digest);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&self.0.dir, &name, flags, Mode::from_raw_mode(0o600))?;
        if !lock(&file)? || !is_still(&self.0.dir, &name, &file)? {
            return Ok(None);
        }
        let file = File::from(file);
        let mut len = file.metadata()?.len();
        if len > size {
            file.set_len(0)?;
            self.0.release(len);
            len = 0;
        }
        if len > 0 {
            self.0.continued().insert(digest.clone());
        }
        Ok(Some(Part {
            shared: Arc::clone(&self.0),
            file,
            len,
            growing: true,
        }))
    }

    /// Removes the part of a blob that is not needed any more, or is damaged; whether a kept beginning
    /// was used since the directory was opened.
    pub(crate) fn forget(&self, digest: &Digest) -> bool {
        let name = file_name(digest);
        if let Ok(stat) = rustix::fs::statat(&self.0.dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            // One that cannot be removed ages, and does no harm until then.
            if rustix::fs::unlinkat(&self.0.dir, &name, AtFlags::empty()).is_ok() {
                self.0.release(u64::try_from(stat.st_size).unwrap_or(0));
            }
        }
        self.0.continued().remove(digest)
    }
}

impl Shared {
    fn continued(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.continued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many bytes of what may be kept, if there are that many.
    fn reserve(&self, bytes: u64) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) <= self.limits.bytes {
            return true;
        }
        self.release(bytes);
        false
    }

    fn release(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        let _previous = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

impl Part {
    /// How many bytes are kept.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Kept bytes from `offset` on.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let end = buf.len().min(left);
        self.file.read_at(&mut buf[..end], offset)
    }

    /// Keeps bytes that follow those there are. What cannot be kept is not, from then on.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let more = bytes.len() as u64;
        if !self.growing || !self.shared.reserve(more) {
            self.growing = false;
            return;
        }
        match self.file.write_all_at(bytes, self.len) {
            Ok(()) => self.len += more,
            Err(error) => self.give_up(more, &error),
        }
    }

    /// The space is worth more to others than to us, if it is that which is missing.
    fn give_up(&mut self, reserved: u64, error: &io::Error) {
        tracing::debug!(%error, kept = self.len, "cannot keep what is fetched");
        self.growing = false;
        let kept = match self.file.set_len(0) {
            Ok(()) => 0,
            Err(_) => self.len,
        };
        self.shared.release(reserved + self.len - kept);
        self.len = kept;
    }
}

fn file_name(digest: &Digest) -> String {
    format!("{}-{}{SUFFIX}", digest.algorithm().name(), digest.hex())
}

fn free_bytes(dir: &OwnedFd) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// False when somebody else holds it. The lock ends with the descriptor.
fn lock(file: &OwnedFd) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether the name still belongs to the file: somebody may have removed it before it was locked.
fn is_still(dir: &OwnedFd, name: &str, file: &OwnedFd) -> io::Result<bool> {
    let named = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(rustix::io::Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let held = rustix::fs::fstat(file)?;
    Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino))
}

struct Found {
    name: String,
    modified: u64,
    bytes: u64,
}

/// Removes what is too old or too much; how many bytes are left.
fn collect(dir: &OwnedFd, limits: &PartLimits, now: u64) -> io::Result<u64> {
    let mut parts = list(dir)?;
    parts.sort_by_key(|part| part.modified);
    let mut used: u64 = parts.iter().map(|part| part.bytes).sum();
    for part in parts {
        let is_old = part.modified.saturating_add(limits.age) < now;
        if (is_old || used > limits.bytes) && remove_unused(dir, &part.name)? {
            used = used.saturating_sub(part.bytes);
        }
    }
    Ok(used)
}

fn list(dir: &OwnedFd) -> io::Result<Vec<Found>> {
    let mut parts = Vec::new();
    for entry in Dir::read_from(dir.as_fd())? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if Path::new(name)
            .extension()
            .is_none_or(|e| e != &SUFFIX[1..])
        {
            continue;
        }
        let Ok(stat) = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        parts.push(Found {
            name: name.to_owned(),
            modified: u64::try_from(stat.st_mtime).unwrap_or(0),
            bytes: u64::try_from(stat.st_size).unwrap_or(0),
        });
    }
    Ok(parts)
}

/// Whether it was removed: not if somebody holds it.
fn remove_unused(dir: &OwnedFd, name: &str) -> io::Result<bool> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = match rustix::fs::openat(dir, name, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    if !lock(&file)? {
        return Ok(false);
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    /// Long ago: what is written meanwhile is not too old.
    const NOW: u64 = 1_000_000_000;

    fn limits(bytes: u64) -> PartLimits {
        PartLimits {
            bytes,
            age: 100,
            smallest_blob: 4,
        }
    }

    fn open(dir: &Path, bytes: u64) -> Parts {
        Parts::open(File::open(dir).unwrap().into(), limits(bytes), NOW).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn age(path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - seconds);
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(time).unwrap();
    }

    #[test]
    fn what_was_kept_is_there_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(b"blob");
        let mut part = open(dir.path(), 100).hold(&digest, 10).unwrap();
        part.append(b"hello ");
        part.append(b"wor");
        drop(part);
        let parts = open(dir.path(), 100);
        let part = parts.hold(&digest, 10).unwrap();
        let mut buf = [0; 20];
        assert_eq!(part.len(), 9);
        assert_eq!(part.read_at(4, &mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"o wor");
        assert!(parts.forget(&digest), "its beginning was used");
        assert!(!parts.forget(&digest));
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_part_has_one_holder() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(b"blob");
        let (here, there) = (open(dir.path(), 100), open(dir.path(), 100));
        let held = here.hold(&digest, 10).unwrap();
        assert!(here.hold(&digest, 10).is_none());
        assert!(there.hold(&digest, 10).is_none());
        drop(held);
        assert!(there.hold(&digest, 10).is_some());
    }

    #[test]
    fn small_blobs_and_too_long_parts_are_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let digest = Digest::sha256(b"blob");
        let parts = open(dir.path(), 100);
        assert!(parts.hold(&digest, 3).is_none());
        parts.hold(&digest, 10).unwrap().append(b"123456");
        assert_eq!(parts.hold(&digest, 5).unwrap().len(), 0);
        assert!(!parts.forget(&digest), "nothing of it was used");
    }

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let parts = open(dir.path(), 10);
        let mut part = parts.hold(&first, 20).unwrap();
        part.append(b"12345678");
        part.append(b"90A");
        part.append(b"9");
        assert_eq!(part.len(), 8, "no hole, whatever comes later");
        drop(part);
        let mut part = parts.hold(&second, 20).unwrap();
        part.append(b"123");
        assert_eq!(part.len(), 0);
        drop(part);
        parts.forget(&first);
        let mut part = parts.hold(&second, 20).unwrap();
        part.append(b"123");
        assert_eq!(part.len(), 3);
    }

    #[test]
    fn the_old_and_the_excess_are_removed_but_for_what_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for (name, seconds) in [
            ("a.part", 101),
            ("b.part", 50),
            ("c.part", 40),
            ("d.part", 30),
        ] {
            fs::write(path(name), "1234").unwrap();
            age(&path(name), seconds);
        }
        fs::write(path("other"), "not ours").unwrap();
        let held: OwnedFd = File::open(path("b.part")).unwrap().into();
        assert!(lock(&held).unwrap());
        open(dir.path(), 9);
        assert_eq!(names(dir.path()), ["b.part", "d.part", "other"]);
        drop(held);
        open(dir.path(), 4);
        assert_eq!(names(dir.path()), ["d.part", "other"]);
    }
}
