//! Removing a deployment.

use progress::Progress;
use sysroot::Sysroot;

use crate::change::{apply, discard_stage};
use crate::{Change, ChangeError, ChangeOptions, Selector};

/// Remove a deployment, or give up what is staged. Its image stays until it is removed.
///
/// # Errors
/// [`ChangeError`]; the running one cannot be removed.
pub fn undeploy(
    sysroot: &Sysroot,
    selector: &Selector,
    options: &ChangeOptions,
    progress: &dyn Progress,
) -> Result<Change, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let status = locked.status()?;
    let found = selector.find(sysroot, &status);
    let found = found.ok_or_else(|| ChangeError::NotFound(selector.clone()))?;
    let id = found.id();
    if found.staged {
        return discard_stage(sysroot, &locked, id.to_string(), options);
    }
    let plan = locked.plan_undeploy(&locked.load()?, &id)?;
    apply(&locked, &plan, options, progress)
}
