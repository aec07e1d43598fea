//! Summaries that were fetched before. Source: libostree's `tmp/cache/summaries/REMOTE` and `REMOTE.sig`,
//! whose entity tags stand in the attribute `user.etag`, and whose times are those of the server.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use durable::IoContext as _;
use ostree::Repo;
use ostree_format::limits::MAX_METADATA_SIZE;
use rustix::fs::{Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::fetcher::Small;
use crate::http::Validators;

const ETAG: &str = "user.etag";

/// A directory with summaries that were fetched before.
#[derive(Debug)]
pub struct Cache {
    dir: OwnedFd,
}

impl Cache {
    /// The cache of `repo` itself.
    ///
    /// # Errors
    /// What the system said.
    pub fn of(repo: &Repo) -> Result<Self, durable::Error> {
        Self::at(repo.dir(), Path::new("tmp/cache"))
    }

    /// The cache at `path` below `base`, which is made where there is none (`--cache-dir`).
    ///
    /// # Errors
    /// What the system said.
    pub fn at(base: BorrowedFd<'_>, path: &Path) -> Result<Self, durable::Error> {
        durable::create_dir_all(base, path, 0o755)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(base, path, flags, Mode::empty());
        dir.during("open directory", path).map(|dir| Self { dir })
    }

    /// Forget the summaries of remotes that `repo` has no more.
    ///
    /// # Errors
    /// What the system said; some may be forgotten then.
    pub fn prune(&self, repo: &Repo) -> Result<(), durable::Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = match rustix::fs::openat(&self.dir, "summaries", flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(()),
            other => other.during("open directory", "summaries")?,
        };
        let remotes = repo.remotes();
        for entry in rustix::fs::Dir::new(listed).during("list", "summaries")? {
            let entry = entry.during("list", "summaries")?;
            let name = entry.file_name().to_string_lossy();
            let remote = name.strip_suffix(".sig").unwrap_or(&name);
            if !matches!(&*name, "." | "..") && !remotes.iter().any(|known| known.name == remote) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }

    pub(crate) fn load(&self, name: &str) -> Result<Option<Vec<u8>>, durable::Error> {
        durable::read_optional(self.dir.as_fd(), Path::new(&path(name)), MAX_METADATA_SIZE)
    }

    /// What the copy is known by; nothing without a copy.
    pub(crate) fn validators(&self, name: &str) -> Option<Validators> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, path(name), flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let mut tag = vec![0; 1024];
        let length = rustix::fs::fgetxattr(&file, ETAG, &mut tag[..]).unwrap_or(0);
        tag.truncate(length);
        let etag = String::from_utf8(tag).ok().filter(|tag| is_tag(tag));
        let modified = u64::try_from(stat.st_mtime).ok();
        Some(Validators { etag, modified })
    }

    pub(crate) fn store(&self, name: &str, copy: &Small) -> Result<(), durable::Error> {
        durable::create_dir_all(self.dir.as_fd(), Path::new("summaries"), 0o755)?;
        let path = path(name);
        durable::publish_no_sync(self.dir.as_fd(), Path::new(&path), &copy.bytes, 0o644)?;
        // What is lost here only costs a transfer.
        let _lost = self.mark(&path, &copy.validators);
        Ok(())
    }

    fn mark(&self, path: &str, validators: &Validators) -> rustix::io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, path, flags, Mode::empty())?;
        if let Some(modified) = validators.modified {
            let time = |nanoseconds| Timespec {
                tv_sec: modified.cast_signed(),
                tv_nsec: nanoseconds,
            };
            let times = Timestamps {
                last_access: time(rustix::fs::UTIME_OMIT),
                last_modification: time(0),
            };
            rustix::fs::futimens(&file, &times)?;
        }
        match validators.etag.as_deref().filter(|tag| is_tag(tag)) {
            Some(tag) => rustix::fs::fsetxattr(&file, ETAG, tag.as_bytes(), XattrFlags::empty()),
            None => Ok(()),
        }
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), durable::Error> {
        durable::remove_all(self.dir.as_fd(), Path::new(&path(name)))
    }
}

fn path(name: &str) -> String {
    format!("summaries/{name}")
}

/// Whether it may stand in a header.
fn is_tag(tag: &str) -> bool {
    !tag.is_empty() && !tag.chars().any(char::is_control)
}
