//! Keeping the reserve free that the repository's config asks for.

use std::sync::atomic::{AtomicI64, Ordering};

use durable::IoContext as _;

use crate::config::Reserve;
use crate::{Repo, WriteError};

/// Blocks that a transaction may still use.
#[derive(Debug)]
pub(crate) struct Space {
    block: u64,
    left: AtomicI64,
    reserve: Reserve,
}

impl Space {
    /// Measure the file system that holds `repo`.
    pub(crate) fn of(repo: &Repo) -> Result<Self, durable::Error> {
        let stat = rustix::fs::fstatvfs(repo.dir()).during("measure the file system of", ".")?;
        let block = stat.f_frsize.max(1);
        let reserve = repo.config().reserve;
        let kept = match reserve {
            Reserve::Bytes(bytes) => bytes / block,
            // In two steps, so that large file systems do not overflow.
            Reserve::Percent(percent) => stat.f_blocks / 100 * percent,
        };
        let left = i64::try_from(stat.f_bavail.saturating_sub(kept)).unwrap_or(i64::MAX);
        Ok(Self {
            block,
            left: AtomicI64::new(left),
            reserve,
        })
    }

    /// Count `bytes` as used, or refuse when they would touch the reserve.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), WriteError> {
        let blocks = i64::try_from(bytes / self.block + 1).unwrap_or(i64::MAX);
        let before = self.left.fetch_sub(blocks, Ordering::Relaxed);
        if before >= blocks {
            return Ok(());
        }
        self.left.fetch_add(blocks, Ordering::Relaxed);
        Err(WriteError::NoSpace {
            needed: bytes,
            available: self.available(),
            reserve: match self.reserve {
                Reserve::Percent(percent) => format!("min-free-space-percent={percent}"),
                Reserve::Bytes(bytes) => format!("min-free-space-size={}MB", bytes >> 20),
            },
        })
    }

    fn available(&self) -> u64 {
        u64::try_from(self.left.load(Ordering::Relaxed).max(0)).unwrap_or_default() * self.block
    }
}

impl Repo {
    /// Bytes that may be written to the repository's file system above the reserve.
    ///
    /// # Errors
    /// What the system said.
    pub fn space_left(&self) -> Result<u64, durable::Error> {
        Ok(Space::of(self)?.available())
    }
}
