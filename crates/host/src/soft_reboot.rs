//! Soft reboots: services start anew from another deployment, and the kernel runs on.

use boot_format::KernelArgs;
use progress::{Interrupt, Progress};
use sysroot::{DeploymentId, Locked, Sysroot};

use crate::{BootedComposefs, ChangeError, ChangeOptions, Selector};

/// Says in place of the configuration how a root is mounted.
const COMPOSEFS: &str = "ostree.prepare-root.composefs";

/// Mount the root of a deployment of OSTree where a soft reboot changes to it, as the real program does: whether it can
/// be mounted decides. `kernel_args` are those of the running kernel.
///
/// # Errors
/// [`ChangeError`]; nothing is prepared then.
pub fn prepare_soft_reboot(
    locked: &Locked<'_>,
    id: &DeploymentId,
    kernel_args: &KernelArgs,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), ChangeError> {
    let composefs = kernel_args.last_value(COMPOSEFS);
    let policy = ::image::policy_of_commit(locked.repo(), &id.commit)?;
    let policy = policy.as_ref();
    let prepared = locked.prepare_soft_reboot(id, composefs, policy, progress, interrupt);
    Ok(prepared.map_err(Box::new)?)
}

/// The same of the deployment that is meant; which that is.
pub(crate) fn prepare_selected(
    sysroot: &Sysroot,
    which: &Selector,
    kernel_args: &KernelArgs,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<String, ChangeError> {
    let locked = sysroot.lock(ChangeOptions::default().lock_timeout)?;
    let id = which.id(sysroot, &locked.status()?)?;
    prepare_soft_reboot(&locked, &id, kernel_args, progress, interrupt)?;
    Ok(id.to_string())
}

impl BootedComposefs {
    /// The same of a root that is an image.
    pub(crate) fn prepare_soft_reboot_of(&self, which: &Selector) -> Result<String, ChangeError> {
        let (_, found) = self.find(which)?;
        let given_up = self.roots.prepare_soft_reboot(&found.id)?;
        if let Some(run) = self.roots.run().filter(|_| given_up.is_some()) {
            crate::reboot_required::take_back(run)?;
        }
        Ok(found.id.to_string())
    }

    /// Complete what is staged. A soft reboot that changes to it now is the reboot that it was waiting for.
    pub(crate) fn finalize_root(&self) -> Result<composefs_root::FinalizedRoot, ChangeError> {
        let staged = self.roots.staged()?;
        let softly = staged.map(|staged| self.roots.is_next_root(&staged.id));
        let softly = softly.transpose()?.unwrap_or_default();
        let finalized = self.roots.finalize()?;
        if let Some(run) = self.roots.run().filter(|_| softly) {
            crate::reboot_required::take_back(run)?;
        }
        Ok(finalized)
    }
}
