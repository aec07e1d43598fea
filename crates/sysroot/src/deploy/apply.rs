use std::os::fd::AsFd as _;
use std::path::Path;

use durable::{Error, IoContext as _, Lock, crash_point};
use file_contexts::Policy;
use ostree::CheckoutOptions;
use progress::{Interrupt, Progress};

use super::plan::{Basis, DeployPlan};
use super::var::{VarPlan, VarStep};
use super::{DeployError, MergeError};
use crate::boot::{BootPlan, BootSwitch};
use crate::{DeploymentId, Locked, State, attributes, dir, immutable, overlay_initrd};

impl Locked<'_> {
    /// Deploy what was planned. `policy` gives the labels of what is copied; without one, copies have
    /// those that the commit says.
    ///
    /// What an interrupted call has left behind is removed first. When this returns, the new
    /// deployment is on disk and boots next (unless it was planned otherwise).
    ///
    /// # Errors
    /// [`DeployError`]; [`DeployError::Outdated`] when deployments have changed since.
    pub fn apply_deploy(
        &self,
        plan: &DeployPlan,
        policy: Option<&Policy>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<DeploymentId, DeployError> {
        let step = VarStep {
            id: &plan.deployment,
            policy,
            progress,
            interrupt,
        };
        let (state, _lock) = self.make_planned(plan, step, || self.make_deployment(plan, step))?;
        crash_point("sysroot:deployment-made");
        let initrds = &plan.overlay_initrds;
        let boot = self.make_room(plan.boot.clone(), &plan.wanted, initrds, policy, progress)?;
        self.add_boot_refs(&boot)?;
        self.install_initrds(plan)?;
        self.apply_boot(&boot, policy, progress)?;
        if state.staged.is_some() {
            // It would take the place of the new one at shutdown.
            self.forget_stage()?;
        }
        self.cleanup()?;
        Ok(plan.deployment.clone())
    }

    /// Let `make` make the deployment of a plan that still holds, after what an interrupted call has left
    /// behind was removed. What `make` leaves behind on failure is removed, too.
    ///
    /// What was deployed before, and the lock that keeps others from pruning objects while they are linked.
    pub(crate) fn make_planned(
        &self,
        plan: &DeployPlan,
        step: VarStep<'_>,
        make: impl FnOnce() -> Result<(), DeployError>,
    ) -> Result<(State, Option<Lock>), DeployError> {
        check_plan(plan)?;
        step.interrupt.check()?;
        let state = self.load().map_err(crate::BootError::from)?;
        if Basis::of(&state) != plan.basis {
            return Err(DeployError::Outdated);
        }
        self.cleanup()?;
        let lock = self.repo().lock_shared();
        let lock = lock.map_err(|error| crate::DeploymentRefError::Write(error.into()))?;
        if let Err(error) = make() {
            // What counts is the first failure; the next call cleans up as well.
            let _left_behind = self.remove_deployment(&plan.deployment);
            return Err(error);
        }
        Ok((state, lock))
    }

    pub(crate) fn install_initrds(&self, plan: &DeployPlan) -> Result<(), DeployError> {
        let boot = self.boot().map_err(crate::BootError::from)?;
        Ok(overlay_initrd::install(
            boot.as_fd(),
            &plan.overlay_initrds,
        )?)
    }

    fn make_deployment(&self, plan: &DeployPlan, step: VarStep<'_>) -> Result<(), DeployError> {
        self.make_tree(step)?;
        self.make_etc(step.id, step.policy, step.progress, step.interrupt)?;
        self.fill_tree(plan.merge.as_ref(), plan.var, step)?;
        self.make_backing(step.id, step.policy)?;
        if let Some(origin) = &plan.origin {
            self.write_origin(step.id, origin, step.policy)?;
        }
        // From here on it is a matter of moments, and no longer interrupted.
        step.interrupt.check()?;
        self.seal_tree(step.id)
    }

    /// Check the commit out.
    pub(crate) fn make_tree(&self, step: VarStep<'_>) -> Result<(), DeployError> {
        let id = step.id;
        dir::make_all(
            self.dir(),
            format!("{}/backing", id.stateroot.path()),
            0o700,
        )?;
        dir::make_all(self.dir(), format!("{}/deploy", id.stateroot.path()), 0o755)?;
        self.remove_deployment(id)?;
        self.check_out(id, step)?;
        crash_point("sysroot:checked-out");
        self.make_image(id, step)?;
        Ok(())
    }

    /// Bring into `/etc` what is local in that of `merge`, and see to `/var`.
    pub(crate) fn fill_tree(
        &self,
        merge: Option<&DeploymentId>,
        var: VarPlan,
        step: VarStep<'_>,
    ) -> Result<(), DeployError> {
        let id = step.id;
        if let Some(merge) = merge {
            self.merge_etc(merge, id)?;
        }
        dir::unlink_optional(self.dir(), format!("{}/etc/.updated", id.path()))?;
        crash_point("sysroot:etc-made");
        self.prepare_var(var, step)
    }

    /// Nothing is created or removed at the top of a deployment from now on.
    pub(crate) fn seal_tree(&self, id: &DeploymentId) -> Result<(), DeployError> {
        if !self.options.mutable_deployments {
            let deployment = dir::open(self.dir(), id.path())?;
            immutable::set(deployment.as_fd(), true)?;
        }
        Ok(())
    }

    fn check_out(&self, id: &DeploymentId, step: VarStep<'_>) -> Result<(), DeployError> {
        let deployments = dir::open(self.dir(), format!("{}/deploy", id.stateroot.path()))?;
        let options = CheckoutOptions {
            passthrough_whiteouts: true,
            ..CheckoutOptions::default()
        };
        let (into, name) = (deployments.as_fd(), id.directory());
        let (progress, interrupt) = (step.progress, step.interrupt);
        self.repo().checkout(
            &id.commit,
            into,
            Path::new(&name),
            &options,
            progress,
            interrupt,
        )?;
        Ok(())
    }

    /// The place for what is laid over a deployment until the next boot.
    pub(crate) fn make_backing(
        &self,
        id: &DeploymentId,
        policy: Option<&Policy>,
    ) -> Result<(), Error> {
        let path = id.path();
        let root = dir::open(self.dir(), &path)?;
        let mode = rustix::fs::fstat(&root).during("look at", &path)?.st_mode;
        let transient = format!("{}/root-transient", id.backing_path());
        dir::make_all(self.dir(), format!("{transient}/work"), 0o700)?;
        // It stands in for the root, so it has to look like it.
        let upper = format!("{transient}/upper");
        dir::make(self.dir(), Path::new(&upper), mode & 0o7777)?;
        attributes::label_file(dir::open(self.dir(), &upper)?, policy, "/", mode)
    }

    /// Keep the commits of planned deployments from being pruned before they boot.
    pub(crate) fn add_boot_refs(&self, boot: &BootPlan) -> Result<(), DeployError> {
        let state = self.load().map_err(crate::BootError::from)?;
        let set = match boot.switch {
            BootSwitch::Entries { to, links } => (to, links),
            BootSwitch::Links { version, to } => (version, to),
            BootSwitch::Nothing => (state.boot_version, state.sub_boot_version),
        };
        let commits: Vec<_> = boot
            .entries
            .iter()
            .map(|entry| entry.deployment.commit)
            .collect();
        self.add_refs(set, &commits)?;
        Ok(())
    }
}

/// Whether a plan can be carried out.
fn check_plan(plan: &DeployPlan) -> Result<(), DeployError> {
    let block = plan.etc.as_ref().and_then(|etc| etc.blocks.first());
    if let Some(block) = block {
        return Err(MergeError::Etc(block.clone()).into());
    }
    match plan.space.shortage() {
        Some((place, needed, available)) => Err(DeployError::NoSpace {
            place,
            needed,
            available,
        }),
        None => Ok(()),
    }
}
