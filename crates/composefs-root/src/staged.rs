//! What is completed when the system shuts down: `/run/composefs/staged-deployment`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use composefs_format::Digest;
use error_class::{Classified, ErrorClass};
use serde::{Deserialize, Serialize};

use crate::layout::STAGED;

/// Largest description that is read.
const MAX: u64 = 1024 * 1024;

/// A deployment that is staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedRoot {
    /// Which one.
    pub id: Digest,
    /// Whether it waits for a release.
    pub locked: bool,
}

/// As it is written.
///
/// Source: `StagedDeployment` of bootc.
#[derive(Serialize, Deserialize)]
struct Written {
    depl_id: String,
    finalization_locked: bool,
}

/// The description of what is staged cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StagedRootError {
    /// It is damaged.
    #[error("what is staged cannot be read (run/{STAGED}): {0}; stage it again")]
    Damaged(String),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for StagedRootError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged(_) => ErrorClass::Corrupt,
            Self::Io(error) => error.class(),
        }
    }
}

impl StagedRoot {
    /// What `/run` says, if it says anything.
    pub(crate) fn read(run: BorrowedFd<'_>) -> Result<Option<Self>, StagedRootError> {
        let Some(bytes) = durable::read_optional(run, Path::new(STAGED), MAX)? else {
            return Ok(None);
        };
        let written: Written = serde_json::from_slice(&bytes)
            .map_err(|error| StagedRootError::Damaged(error.to_string()))?;
        let id = written.depl_id.parse();
        let id = id.map_err(|_| StagedRootError::Damaged("no digest".to_owned()))?;
        Ok(Some(Self {
            id,
            locked: written.finalization_locked,
        }))
    }

    /// Have it completed. `/run` does not outlive the system, so nothing is synced.
    pub(crate) fn write(&self, run: BorrowedFd<'_>) -> Result<(), StagedRootError> {
        let written = Written {
            depl_id: self.id.to_string(),
            finalization_locked: self.locked,
        };
        let bytes = serde_json::to_vec(&written)
            .map_err(|error| StagedRootError::Damaged(error.to_string()))?;
        durable::create_dir_all(run, Path::new("composefs"), 0o755)?;
        Ok(durable::publish_no_sync(
            run,
            Path::new(STAGED),
            &bytes,
            0o644,
        )?)
    }

    /// Forget it.
    pub(crate) fn forget(run: BorrowedFd<'_>) -> Result<(), StagedRootError> {
        Ok(durable::remove_all(run, Path::new(STAGED))?)
    }
}
