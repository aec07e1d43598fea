//! Going back to the deployment before.

use progress::Progress;
use sysroot::{DeploymentId, DeploymentStatus, Status, Sysroot};

use crate::change::{apply, discard_stage};
use crate::{Change, ChangeError, ChangeOptions, Selector};

/// Let another deployment boot first.
///
/// Without `selector`: a stage is given up; when another deployment than the running one boots next, the
/// running one does again; otherwise it is the one after the running one. So a second call takes back
/// the first.
///
/// # Errors
/// [`ChangeError`].
pub fn rollback(
    sysroot: &Sysroot,
    selector: Option<&Selector>,
    options: &ChangeOptions,
    progress: &dyn Progress,
) -> Result<Change, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let status = locked.status()?;
    let staged = status.deployments.iter().find(|found| found.staged);
    let target = match (selector, staged) {
        (None, Some(staged)) => {
            return discard_stage(sysroot, &locked, staged.id().to_string(), options);
        }
        (None, None) => usual_target(&status).ok_or(ChangeError::NoRollback)?,
        (Some(selector), _) => chosen(sysroot, &status, selector)?,
    };
    let plan = locked.plan_set_default(&locked.load()?, &target)?;
    apply(&locked, &plan, options, progress)
}

fn usual_target(status: &Status) -> Option<DeploymentId> {
    let deployments = &status.deployments;
    let booted = deployments.iter().position(|found| found.booted);
    let first = deployments.first()?;
    let of_same = |other: &&DeploymentStatus| other.stateroot == first.stateroot;
    match booted {
        // Something else was to boot next.
        Some(place) if place > 0 => deployments.get(place).map(DeploymentStatus::id),
        Some(_) => deployments
            .iter()
            .find(|found| found.rollback)
            .map(DeploymentStatus::id),
        None => deployments
            .iter()
            .skip(1)
            .find(of_same)
            .map(DeploymentStatus::id),
    }
}

fn chosen(
    sysroot: &Sysroot,
    status: &Status,
    selector: &Selector,
) -> Result<DeploymentId, ChangeError> {
    let found = selector.find(sysroot, status);
    let found = found.ok_or_else(|| ChangeError::NotFound(selector.clone()))?;
    if found.staged {
        return Err(ChangeError::Staged(selector.clone()));
    }
    Ok(found.id())
}
