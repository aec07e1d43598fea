//! Removing everything that is deployed.

use progress::Progress;
use sysroot::Sysroot;

use crate::change::apply;
use crate::{Change, ChangeError, ChangeOptions};

/// Remove all deployments, so that nothing boots any more; stored images stay. Not on a running system.
///
/// # Errors
/// [`ChangeError`].
pub fn wipe_ostree(
    sysroot: &Sysroot,
    options: &ChangeOptions,
    progress: &dyn Progress,
) -> Result<Change, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let plan = locked.plan_undeploy_all(&locked.load()?)?;
    apply(&locked, &plan, options, progress)
}
