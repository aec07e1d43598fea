//! The directory in which a transaction collects its objects.
//!
//! It lies below the repository's `tmp` and has the prefix and the lock file beside it that libostree
//! uses for its own, so libostree leaves it alone while we live and removes it when we died. Its name
//! differs from libostree's of the same boot, so nobody mistakes half-written objects for good ones.
//! Those of libostree that died have the identifier of their boot in their names; only in that boot would it go on
//! with them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use durable::{IoContext as _, Lock, LockError, crash_point};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use crate::repo::open_dir;
use crate::{BootId, Repo};

/// How the names of staging directories begin, whoever makes them.
const ANY: &str = "staging-";

const PREFIX: &str = "staging-bootroot-";

/// A staging directory; removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Staging {
    tmp: OwnedFd,
    name: PathBuf,
    dir: OwnedFd,
    umask: u32,
    /// Whether it outlives the transaction.
    kept: bool,
    _lock: Lock,
}

impl Staging {
    /// Make a new one.
    pub(crate) fn create(repo: &Repo) -> Result<Self, LockError> {
        let tmp = open_dir(repo.tmp(), Path::new("."))?;
        loop {
            let name = PathBuf::from(format!("{PREFIX}{:016x}", random()?));
            // The lock comes first: a directory without one is up for removal.
            let lock = Lock::exclusive(tmp.as_fd(), &lock_name(&name), Duration::ZERO)?;
            crash_point("staging:locked");
            match rustix::fs::mkdirat(&tmp, &name, Mode::from_raw_mode(0o777)) {
                Ok(()) => {
                    let dir = open_dir(tmp.as_fd(), &name)?;
                    // What is missing from the mode that was asked for is the umask; there is no
                    // call that tells it without changing it for all threads.
                    let stat = rustix::fs::fstat(&dir).during("look at", &name)?;
                    let umask = !stat.st_mode & 0o777;
                    return Ok(Self {
                        tmp,
                        name,
                        dir,
                        umask,
                        kept: false,
                        _lock: lock,
                    });
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error).during("create", &name).map_err(Into::into),
            }
        }
    }

    pub(crate) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The bits that new files do not get.
    pub(crate) const fn umask(&self) -> u32 {
        self.umask
    }

    /// Remove what transactions that died left behind, and whatever else is older in `tmp` than the
    /// config allows (`core.tmp-expiry-secs`).
    pub(crate) fn reclaim(&self, repo: &Repo) -> Result<(), durable::Error> {
        let now = self.made_at()?;
        for entry in rustix::fs::Dir::read_from(&self.tmp).during("list", "tmp")? {
            let entry = entry.during("list", "tmp")?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            // Libostree makes the cache when it opens a repository.
            if matches!(name, "." | ".." | "cache") {
                continue;
            }
            let is_stage = is_stage(name);
            let goes_on = is_stage && may_go_on(name, repo.boot());
            let name = Path::new(name);
            if is_stage && !goes_on {
                reclaim_staging(self.tmp.as_fd(), name)?;
            } else if !is_stage && self.is_expired(name, now, repo.config().tmp_expiry)? {
                durable::remove_all(self.tmp.as_fd(), name)?;
            }
        }
        Ok(())
    }

    /// The file system's own time, which is the one that the ages of files are measured by.
    fn made_at(&self) -> Result<i64, durable::Error> {
        let stat = rustix::fs::fstat(&self.dir).during("look at", &self.name)?;
        Ok(stat.st_mtime)
    }

    /// Whether `name` is old, and no lock of a directory that is still there.
    fn is_expired(&self, name: &Path, now: i64, after: Duration) -> Result<bool, durable::Error> {
        let look =
            |name: &Path| match rustix::fs::statat(&self.tmp, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Ok(Some(stat.st_mtime)),
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error).during("look at", name),
            };
        let Some(modified) = look(name)? else {
            return Ok(false);
        };
        let age = u64::try_from(now.saturating_sub(modified)).unwrap_or_default();
        if age <= after.as_secs() {
            return Ok(false);
        }
        match name.to_str().and_then(|name| name.strip_suffix("-lock")) {
            Some(locked) => Ok(look(Path::new(locked))?.is_none()),
            None => Ok(true),
        }
    }
}

fn is_stage(name: &str) -> bool {
    name.starts_with(ANY) && !name.ends_with("-lock")
}

/// Whether libostree may still go on with a dead staging directory; when it is not known which boot this is, with all
/// of its own.
fn may_go_on(name: &str, boot: Option<&BootId>) -> bool {
    let of_boot = |boot: &BootId| name.starts_with(&format!("{ANY}{boot}-"));
    !name.starts_with(PREFIX) && boot.is_none_or(of_boot)
}

/// Remove a staging directory that nobody holds.
fn reclaim_staging(tmp: BorrowedFd<'_>, name: &Path) -> Result<(), durable::Error> {
    if let Ok(_lock) = Lock::exclusive(tmp, &lock_name(name), Duration::ZERO) {
        durable::remove_all(tmp, name)?;
        durable::remove_all(tmp, &lock_name(name))?;
    }
    Ok(())
}

/// Remove every staging directory that nobody holds, also those that libostree might go on with.
pub(crate) fn reclaim_all(repo: &Repo) -> Result<(), durable::Error> {
    for entry in rustix::fs::Dir::read_from(repo.tmp()).during("list", "tmp")? {
        let entry = entry.during("list", "tmp")?;
        if let Some(name) = entry
            .file_name()
            .to_str()
            .ok()
            .filter(|name| is_stage(name))
        {
            reclaim_staging(repo.tmp(), Path::new(name))?;
        }
    }
    Ok(())
}

impl Staging {
    /// Give the directory, in which every object is complete, the name under which libostree looks for what
    /// a transaction of the boot `boot` left behind, and leave it there.
    pub(crate) fn leave_behind(mut self, boot: &BootId) -> Result<(), durable::Error> {
        let name = PathBuf::from(format!("staging-{boot}-{:06x}", random()? & 0xff_ffff));
        // Without its lock, which libostree removes in such a case, too.
        rustix::fs::renameat(&self.tmp, &self.name, &self.tmp, &name)
            .during("rename", &self.name)?;
        let lock = lock_name(&self.name);
        rustix::fs::unlinkat(&self.tmp, &lock, AtFlags::empty()).during("remove", &lock)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // Whatever cannot be removed now is reclaimed by the next transaction.
        let _left = durable::remove_all(self.tmp.as_fd(), &self.name);
        let _left = rustix::fs::unlinkat(&self.tmp, lock_name(&self.name), AtFlags::empty());
    }
}

fn lock_name(name: &Path) -> PathBuf {
    let mut lock = name.as_os_str().to_owned();
    lock.push("-lock");
    lock.into()
}

fn random() -> Result<u64, durable::Error> {
    let mut bytes = [0u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .during("get random bytes for", PREFIX)?;
    Ok(u64::from_ne_bytes(bytes))
}
