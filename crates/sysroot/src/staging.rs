//! Staging: everything that takes time now, the rest when the system shuts down.
//!
//! The tree is checked out, with its defaults as `/etc`, and its kernel brought to `/boot`; at shutdown `/etc`
//! gets what is local, and the boot entries are switched. In between the stage stands in `/run`, where libostree
//! looks for it too: either program completes what the other has staged. That is why `/etc` is made so early: libostree
//! completes no tree without one. We make it again at shutdown, because nothing tells an untouched one from one
//! that an interrupted completion has left half merged.

use std::os::fd::AsFd as _;
use std::path::Path;

use boot_format::BlsEntry;
use durable::{Error, crash_point};
use file_contexts::Policy;
use progress::{Interrupt, Progress, Silent, Task, TaskKind};

use crate::boot::BootError;
use crate::boot::plan::Wanted;
use crate::deploy::{Retain, Rules, VarStep, select};
use crate::overlay_initrd::entry_path;
use crate::running::Running;
use crate::{
    DeployError, DeployPlan, Deployment, DeploymentId, Locked, OverlayInitrd, StagedData, State,
    Unlocked, dir,
};

/// Where libostree and we note in `/boot` why a stage was not completed.
const FAILURE: &str = "finalize-failure.stamp";

/// Largest note that is read.
const MAX_NOTE: u64 = 64 * 1024;

/// What became of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are these three ends")]
pub enum Finalized {
    /// There is none.
    Nothing,
    /// It is locked and stays.
    Locked(DeploymentId),
    /// It boots next.
    Done(DeploymentId),
}

impl Locked<'_> {
    fn running_system(&self) -> Result<&Running, DeployError> {
        self.running.as_ref().ok_or(DeployError::StageNotBooted)
    }

    /// Do everything of a plan that can be done before the system shuts down, and have it completed then.
    /// A stage that was there before is given up. `hold` keeps it from being completed until
    /// [`Self::hold_stage`] releases it.
    ///
    /// # Errors
    /// [`DeployError`]; [`DeployError::StageNotBooted`] where nothing will shut down. An earlier stage
    /// stays then.
    pub fn stage(
        &self,
        plan: &DeployPlan,
        hold: bool,
        policy: Option<&Policy>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<DeploymentId, DeployError> {
        let running = self.running_system()?;
        self.clear_soft_reboot()?;
        let step = VarStep {
            id: &plan.deployment,
            policy,
            progress,
            interrupt,
        };
        let (state, _lock) = self.make_planned(plan, step, || self.prepare_stage(plan, step))?;
        crash_point("sysroot:stage-prepared");
        running.write_initrds(&plan.overlay_initrds)?;
        self.write_stage(running, &describe(plan, &state, hold))?;
        crash_point("sysroot:staged");
        self.touch()?;
        self.cleanup()?;
        Ok(plan.deployment.clone())
    }

    fn prepare_stage(&self, plan: &DeployPlan, step: VarStep<'_>) -> Result<(), DeployError> {
        self.make_tree(step)?;
        self.make_etc(step.id, step.policy, step.progress, step.interrupt)?;
        self.make_backing(&plan.deployment, step.policy)?;
        if let Some(origin) = &plan.origin {
            self.write_origin(&plan.deployment, origin, step.policy)?;
        }
        let mut entries = plan.boot.entries.iter();
        let entry = entries.find(|entry| entry.deployment == plan.deployment);
        // A small /boot has no room for the kernel before others are removed, at shutdown.
        let entry = entry.filter(|_| plan.dropped_first.is_empty());
        if let Some(entry) = entry {
            let boot = self.boot().map_err(BootError::from)?;
            let size = entry.kernel.size();
            let task = Task::begin(step.progress, TaskKind::InstallKernel, Some(size));
            self.install_kernel(boot.as_fd(), entry, step.policy, &task)?;
            task.done();
        }
        self.install_initrds(plan)?;
        step.interrupt.check()?;
        // At shutdown little is left to be written.
        Ok(self.sync()?)
    }

    /// Complete what is staged: `/etc`, `/var` when it is empty, boot entries. The note of an earlier
    /// failure is replaced or goes.
    ///
    /// # Errors
    /// [`DeployError`]; the stage stays, what boots has not changed, and the cause is noted in `/boot`
    /// for [`Self::take_failure`].
    pub fn finalize_staged(&self, policy: Option<&Policy>) -> Result<Finalized, DeployError> {
        let state = self.load().map_err(BootError::from)?;
        let staged = match &state.staged {
            None => return Ok(Finalized::Nothing),
            Some(Err(error)) => return Err(error.clone().into()),
            Some(Ok(staged)) => staged,
        };
        let id = staged.target.0.clone();
        if staged.locked {
            return Ok(Finalized::Locked(id));
        }
        match self.complete_stage(&state, staged, policy) {
            Ok(()) => Ok(Finalized::Done(id)),
            Err(error) => {
                self.note_failure(&error);
                Err(error)
            }
        }
    }

    fn complete_stage(
        &self,
        state: &State,
        staged: &StagedData,
        policy: Option<&Policy>,
    ) -> Result<(), DeployError> {
        self.running_system()?;
        let id = &staged.target.0;
        if state.find(id).is_some() {
            // An interrupted call came as far as this: it boots already, and its /etc may be in use.
            self.forget_stage()?;
            self.cleanup()?;
            return Ok(());
        }
        let merge = staged.merge.as_ref().map(|(id, _)| id);
        let merge = merge.filter(|merge| state.find(merge).is_some());
        let step = VarStep {
            id,
            policy,
            progress: &Silent,
            interrupt: &Interrupt::default(),
        };
        // The next root has this /etc already, and what is local goes into it now.
        let etc_is_used = self.is_next_root(id)?;
        if !etc_is_used {
            self.reopen_tree(id)?;
        }
        let var = self.plan_var(&id.stateroot, &id.commit)?;
        if !etc_is_used {
            self.make_etc(id, policy, step.progress, step.interrupt)?;
        }
        self.fill_tree(merge, var, step)?;
        self.seal_tree(id)?;
        crash_point("sysroot:stage-filled");
        let wanted = wanted(state, staged, self, merge);
        let boot = self.plan_boot(state, &wanted)?;
        let boot = self.make_room(boot, &wanted, &[], policy, &Silent)?;
        self.add_boot_refs(&boot)?;
        self.apply_boot(&boot, policy, &Silent)?;
        self.forget_stage()?;
        self.take_failure()?;
        self.cleanup()?;
        Ok(())
    }

    /// What an interrupted completion has made of `/etc` is made again.
    pub(crate) fn reopen_tree(&self, id: &DeploymentId) -> Result<(), Error> {
        let tree = dir::open(self.dir(), id.path())?;
        crate::immutable::set(tree.as_fd(), false)?;
        if dir::exists(tree.as_fd(), "usr/etc")? {
            durable::remove_all(tree.as_fd(), Path::new("etc"))?;
        }
        Ok(())
    }

    /// Give up what is staged; whether anything was.
    ///
    /// # Errors
    /// [`DeployError`] when it cannot be removed.
    pub fn discard_stage(&self) -> Result<bool, DeployError> {
        let was = self.forget_stage()?;
        self.cleanup()?;
        self.touch()?;
        Ok(was)
    }

    /// Keep what is staged from being completed, or release it; whether that changed anything.
    ///
    /// # Errors
    /// [`DeployError`]; [`DeployError::NoStage`] when nothing is staged.
    pub fn hold_stage(&self, hold: bool) -> Result<bool, DeployError> {
        let running = self.running_system()?;
        let state = self.load().map_err(BootError::from)?;
        let staged = state.staged().ok_or(DeployError::NoStage)?;
        if staged.locked == hold {
            return Ok(false);
        }
        let staged = StagedData {
            locked: hold,
            ..staged.clone()
        };
        self.write_stage(running, &staged)?;
        Ok(true)
    }

    fn note_failure(&self, error: &DeployError) {
        let note = || -> Result<(), BootError> {
            let text = error.to_string();
            durable::publish(
                self.boot()?.as_fd(),
                Path::new(FAILURE),
                text.as_bytes(),
                0o644,
            )?;
            Ok(())
        };
        if let Err(second) = note() {
            tracing::warn!(%second, "cannot note in /boot that completing the stage failed");
        }
    }

    /// Why the last completion of a stage failed, if it did; the note is removed.
    ///
    /// # Errors
    /// What the system said.
    pub fn take_failure(&self) -> Result<Option<String>, BootError> {
        let boot = self.boot()?;
        let note = durable::read_optional(boot.as_fd(), Path::new(FAILURE), MAX_NOTE)?;
        dir::unlink_optional(boot.as_fd(), FAILURE)?;
        Ok(note.map(|note| String::from_utf8_lossy(&note).into_owned()))
    }
}

fn describe(plan: &DeployPlan, state: &State, hold: bool) -> StagedData {
    let merge = plan.merge.as_ref().and_then(|merge| state.find(merge));
    let arguments = plan.kernel_args.iter().map(ToString::to_string).collect();
    let checksums = plan.overlay_initrds.iter().map(OverlayInitrd::checksum);
    StagedData {
        target: (plan.deployment.clone(), plan.kernel.checksum.clone()),
        merge: merge.map(|merge| (merge.id.clone(), merge.boot_checksum.clone())),
        kernel_args: Some(arguments),
        overlay_initrds: checksums.map(ToOwned::to_owned).collect(),
        locked: hold,
        extra_fields: Vec::new(),
    }
}

/// The deployments as they will boot: the staged one first.
fn wanted(
    state: &State,
    staged: &StagedData,
    locked: &Locked<'_>,
    merge: Option<&DeploymentId>,
) -> Vec<Wanted> {
    let (id, checksum) = staged.target.clone();
    let rules = Rules {
        stateroot: &id.stateroot,
        booted: state.booted().map(|booted| &booted.id),
        merge,
        retain: Retain::default(),
        not_default: false,
    };
    let selection = select(&state.deployments, rules);
    let kept = selection
        .kept
        .iter()
        .filter_map(|index| state.deployments.get(*index));
    let merged = merge
        .and_then(|merge| state.find(merge))
        .map(Deployment::kernel_args);
    let arguments = staged.command_line().or(merged).unwrap_or_default();
    let mut entry = BlsEntry::new();
    if !arguments.is_empty() {
        entry.set("options", &arguments.to_string());
    }
    for (key, value) in &staged.extra_fields {
        entry.set(key, value);
    }
    let overlays = staged.overlay_initrds.iter();
    entry.set_overlay_initrds(overlays.map(|sum| entry_path(sum)).collect());
    let new = Deployment {
        origin: locked.read_origin(&id).ok().flatten(),
        boot_checksum: checksum,
        boot_serial: 0,
        entry,
        entry_file: None,
        unlocked: Unlocked::None,
        problems: Vec::new(),
        id,
    };
    let kept = kept.cloned().map(Wanted::existing);
    [Wanted::existing(new)].into_iter().chain(kept).collect()
}
