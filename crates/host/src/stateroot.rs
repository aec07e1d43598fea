//! Removing a stateroot.

use serde::Serialize;
use sysroot::{StaterootName, Sysroot};

use crate::{ChangeError, ChangeOptions};

/// What removing a stateroot did, or would do (`docs/stateroot-remove.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct StaterootRemoved {
    schema: &'static str,
    /// Whether it was removed, or only planned.
    pub made: bool,
    /// Its name.
    pub stateroot: StaterootName,
}

/// Remove a stateroot that has no deployments, as a reset leaves one behind: its `/var` and all.
///
/// # Errors
/// [`ChangeError`]; repeating the call completes what was begun.
pub fn remove_stateroot(
    sysroot: &Sysroot,
    name: &StaterootName,
    options: &ChangeOptions,
) -> Result<StaterootRemoved, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    if options.dry_run {
        locked.check_stateroot_removal(&locked.load()?, name)?;
    } else {
        locked.remove_stateroot(name)?;
    }
    Ok(StaterootRemoved {
        schema: "bootroot.stateroot-remove/1",
        made: !options.dry_run,
        stateroot: name.clone(),
    })
}
