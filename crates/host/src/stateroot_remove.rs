//! Removing a stateroot that is no longer wanted, with its `/var`: what a reset has left behind.

use ostree::PruneOptions;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{Deployment, StaterootName, Sysroot};

use crate::change::{apply, discard_stage};
use crate::text::text;
use crate::{Change, ChangeError, ChangeOptions};

/// What the removal of a stateroot does, or has done (`docs/stateroot-remove.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct RemovedStateroot {
    schema: &'static str,
    /// Whether it was done, or only planned.
    pub made: bool,
    /// The stateroot.
    #[serde(serialize_with = "text")]
    pub stateroot: StaterootName,
    /// What its `/var` occupies, in bytes.
    pub var_bytes: u64,
    /// What boots afterwards, and which deployments go; nothing when it has none.
    pub change: Option<Change>,
    /// Bytes of objects that nothing needed any more and that were removed; unknown while it is only planned.
    pub collected_bytes: Option<u64>,
}

/// Remove a stateroot and its `/var`; its deployments only when `with_deployments` says so. Images stay.
///
/// # Errors
/// [`ChangeError`]: not the stateroot that runs, and not the last one that has a deployment to boot. What was
/// removed until a failure is gone; calling again goes on.
pub(crate) fn stateroot_remove(
    sysroot: &Sysroot,
    stateroot: &StaterootName,
    with_deployments: bool,
    options: &ChangeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<RemovedStateroot, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    if !sysroot.has_stateroot(stateroot)? {
        return Err(ChangeError::NoStateroot(stateroot.clone()));
    }
    let state = locked.load()?;
    let is_of_it = |deployment: &&Deployment| deployment.id.stateroot == *stateroot;
    if state.booted().as_ref().is_some_and(is_of_it) {
        return Err(ChangeError::StaterootRuns(stateroot.clone()));
    }
    let stage = state.staged().map(|staged| staged.target.0.clone());
    let stage = stage.filter(|stage| stage.stateroot == *stateroot);
    let count = state.deployments.iter().filter(is_of_it).count();
    if !with_deployments && (count > 0 || stage.is_some()) {
        return Err(ChangeError::StaterootDeployed(stateroot.clone()));
    }
    if count > 0 && count == state.deployments.len() {
        return Err(ChangeError::NothingWouldBoot(stateroot.clone()));
    }
    let mut change = None;
    if let Some(stage) = &stage {
        change = Some(discard_stage(sysroot, &locked, stage.to_string(), options)?);
    }
    if count > 0 {
        let plan = locked.plan_undeploy_stateroot(&locked.load()?, stateroot)?;
        let given_up = change.and_then(|change: Change| change.discarded_stage);
        let mut undeployed = apply(&locked, &plan, options, progress)?;
        undeployed.discarded_stage = given_up;
        change = Some(undeployed);
    }
    let var_bytes = locked.var_bytes(stateroot)?;
    let mut collected_bytes = None;
    if !options.dry_run {
        locked.remove_stateroot(stateroot)?;
        let unreachable = PruneOptions::without_ancestors();
        let pruned = locked.repo().prune(&unreachable, progress, interrupt)?;
        collected_bytes = Some(pruned.bytes);
    }
    let stateroot = stateroot.clone();
    Ok(RemovedStateroot::new(
        stateroot,
        var_bytes,
        change,
        collected_bytes,
    ))
}

impl RemovedStateroot {
    /// What was removed, if it is known what became free, or would be.
    pub(crate) const fn new(
        stateroot: StaterootName,
        var_bytes: u64,
        change: Option<Change>,
        collected_bytes: Option<u64>,
    ) -> Self {
        Self {
            schema: "bootroot.stateroot-remove/1",
            made: collected_bytes.is_some(),
            stateroot,
            var_bytes,
            change,
            collected_bytes,
        }
    }
}
