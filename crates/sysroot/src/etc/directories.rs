//! A new `/etc` out of directories, wherever its default comes from.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use error_class::{Classified, ErrorClass};

use super::{EtcBlock, EtcPlan, apply, scan_directory};
use crate::copy::{self, Place, Xattrs};
use crate::dir;

/// An `/etc` with changes, and the default that it was made of.
#[derive(Debug, Clone, Copy)]
pub struct ChangedEtc<'a> {
    /// The default.
    pub default: BorrowedFd<'a>,
    /// What has become of it.
    pub current: BorrowedFd<'a>,
}

/// Why there is no new `/etc`. What was made of it is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcError {
    /// A local change cannot be carried over.
    #[error("{0}; remove or move it before deploying")]
    Blocked(EtcBlock),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for EtcError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Blocked(_) => ErrorClass::InvalidInput,
            Self::Io(error) => error.class(),
        }
    }
}

impl ChangedEtc<'_> {
    /// What would be carried over to a new default.
    ///
    /// # Errors
    /// What the system said.
    pub fn plan(&self, new_default: BorrowedFd<'_>) -> Result<EtcPlan, durable::Error> {
        let (old, current) = (scan_directory(self.default)?, scan_directory(self.current)?);
        Ok(EtcPlan::new(&old, &current, &scan_directory(new_default)?))
    }
}

/// Make the directory `name` in `into`, where nothing is, a copy of `default`, and carry over to it what is local.
/// Nothing is synced.
///
/// # Errors
/// [`EtcError`].
pub fn make_etc(
    default: BorrowedFd<'_>,
    (into, name): (BorrowedFd<'_>, &Path),
    local: Option<ChangedEtc<'_>>,
) -> Result<(), EtcError> {
    let plan = local.map(|local| local.plan(default)).transpose()?;
    if let Some(block) = plan.iter().flat_map(|plan| &plan.blocks).next() {
        return Err(EtcError::Blocked(block.clone()));
    }
    let mut skipped = |name: &Path| {
        tracing::info!(
            name = copy::shown(name),
            "left out of /etc: not a file, link or directory"
        );
    };
    // The default itself, which has no name here.
    let from = Place::new(default, Path::new("."));
    copy::tree(from, Place::new(into, name), Xattrs::Copy, &mut skipped)?;
    if let (Some(plan), Some(local)) = (plan, local) {
        let made = dir::open(into, name)?;
        apply(&plan, local.current, made.as_fd(), Xattrs::Copy)?;
    }
    Ok(())
}
