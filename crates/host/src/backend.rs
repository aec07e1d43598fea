//! The deployments of a system, whatever makes its roots. Which it is is decided once, when the system is opened.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use boot_format::KernelArgs;
use composefs_format::Digest;
use composefs_root::FinalizedRoot;
use durable::IoContext as _;
use oci::reference::OstreeImageReference;
use progress::{Interrupt, Progress};
use sysroot::{DeploymentId, EtcChanges, Finalized, StaterootName, Sysroot, UnlockFor};

use crate::{
    Access, ArgsChange, BoundRoot, Change, ChangeError, ChangeOptions, Check, Cleaned,
    MountOverlay, Pinned, RemovedStateroot, ResetDone, ResetOptions, RunningFacts, Selector,
    Status, SwitchedInPlace, UpgradeOptions, Upgraded,
};

/// What can be done with a system's deployments.
pub trait Backend {
    /// Whether they are those of the running system, so that what is deployed is staged.
    fn is_running(&self) -> bool;

    /// What is deployed. What is damaged is part of the answer.
    ///
    /// # Errors
    /// [`ChangeError`] when nothing can be told.
    fn status(&self, facts: RunningFacts) -> Result<Status, ChangeError>;

    /// Whether there is something newer of the image that is followed.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn check_upgrade(&self, job: &Job<'_>) -> Result<Check, ChangeError>;

    /// Fetch what is newer of the image that is followed, and deploy it.
    ///
    /// # Errors
    /// [`ChangeError`]; an image that was pulled by then stays.
    fn upgrade(&self, job: &Job<'_>) -> Result<Upgraded, ChangeError>;

    /// Follow another image from now on: fetch it and deploy it.
    ///
    /// # Errors
    /// [`ChangeError`]; an image that was pulled by then stays.
    fn switch(&self, image: &OstreeImageReference, job: &Job<'_>) -> Result<Upgraded, ChangeError>;

    /// Let another deployment boot first, or take that back.
    ///
    /// # Errors
    /// [`ChangeError`]; what boots is as it was.
    fn rollback(
        &self,
        wanted: Option<&Selector>,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError>;

    /// Let a deployment boot no more, or give up what is staged.
    ///
    /// # Errors
    /// [`ChangeError`]; not the running one.
    fn undeploy(
        &self,
        which: &Selector,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError>;

    /// Let nothing boot any more. Not on a running system.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn undeploy_all(
        &self,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError>;

    /// The kernel arguments of what boots first, without the one that selects it.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn kernel_arguments(&self) -> Result<Vec<String>, ChangeError>;

    /// Give what boots first other kernel arguments.
    ///
    /// # Errors
    /// [`ChangeError`]; what boots is as it was.
    fn change_kernel_arguments(
        &self,
        change: &ArgsChange,
        options: &ChangeOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Change, ChangeError>;

    /// Keep a deployment, so that no other drives it out, or no longer.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn pin(
        &self,
        which: &Selector,
        pinned: bool,
        options: &ChangeOptions,
    ) -> Result<Pinned, ChangeError>;

    /// Remove what is left over.
    ///
    /// # Errors
    /// [`ChangeError`]; what was removed until then is gone.
    fn cleanup(
        &self,
        options: &ChangeOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Cleaned, ChangeError>;

    /// Let the running deployment, or the one that was made last, follow another image, and deploy nothing.
    ///
    /// # Errors
    /// [`ChangeError`]; its origin is as it was.
    fn switch_in_place(
        &self,
        image: &OstreeImageReference,
        drop_signature: bool,
        options: &ChangeOptions,
    ) -> Result<SwitchedInPlace, ChangeError>;

    /// Deploy the image into a new stateroot, with neither `/etc` nor `/var` of the old one.
    ///
    /// # Errors
    /// [`ChangeError`]; what boots has not changed.
    fn reset(
        &self,
        access: &Access,
        options: &ResetOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<ResetDone, ChangeError>;

    /// Remove a stateroot and its `/var`; its deployments only when `with_deployments` says so. Images stay.
    ///
    /// # Errors
    /// [`ChangeError`]: not the stateroot that runs, and not the last one that has a deployment to boot. What was
    /// removed until a failure is gone; calling again goes on.
    fn remove_stateroot(
        &self,
        stateroot: &StaterootName,
        with_deployments: bool,
        options: &ChangeOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<RemovedStateroot, ChangeError>;

    /// The roots that can boot, with the images that they bind.
    ///
    /// # Errors
    /// [`ChangeError`] when that cannot be told of one.
    fn bound_roots(&self) -> Result<Vec<BoundRoot>, ChangeError>;

    /// The images of composefs that the kernel has to verify so that deployments boot.
    ///
    /// # Errors
    /// [`ChangeError`] when that cannot be told.
    fn strict_images(&self) -> Result<BTreeSet<Digest>, ChangeError>;

    /// What was changed in the `/etc` of the running deployment, or of the first one, and which that is.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn etc_changes(
        &self,
        stateroot: Option<&StaterootName>,
    ) -> Result<(String, EtcChanges), ChangeError>;

    /// Where that `/etc` is.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn etc_place(&self, stateroot: Option<&StaterootName>) -> Result<EtcPlace, ChangeError>;

    /// Make `/usr` of the running system writable, with `mount` where an overlay has to be mounted that is described
    /// by options; which deployment that is.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn unlock_usr(
        &self,
        unlock: UnlockFor,
        mount: &MountOverlay<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<String, ChangeError>;

    /// Mount the root of a deployment where a soft reboot changes to it; which that is. What else is staged is given up.
    /// `kernel_args` are those of the running kernel.
    ///
    /// # Errors
    /// [`ChangeError`], with what needs the kernel to start anew.
    fn prepare_soft_reboot(
        &self,
        which: &Selector,
        kernel_args: &KernelArgs,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<String, ChangeError>;

    /// Take that back; whether anything was prepared.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn clear_soft_reboot(&self) -> Result<bool, ChangeError>;

    /// Complete what is staged, when the system shuts down.
    ///
    /// # Errors
    /// [`ChangeError`]; calling again completes it.
    fn finalize(&self) -> Result<Completed, ChangeError>;
}

/// What an image is fetched for, and how.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "progress has none")]
#[expect(clippy::exhaustive_structs, reason = "all of it has to be said")]
pub struct Job<'a> {
    /// How images are reached.
    pub access: &'a Access,
    /// What is wanted.
    pub options: &'a UpgradeOptions,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Who may stop it.
    pub interrupt: &'a Interrupt,
}

/// The `/etc` of a deployment.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct EtcPlace {
    /// The deployment.
    pub deployment: String,
    /// What `path` starts from.
    pub base: OwnedFd,
    /// The directory.
    pub path: String,
}

/// What a shutdown has completed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the outcomes")]
pub enum Completed {
    /// Nothing was staged.
    Nothing,
    /// This one waits for a release.
    Held(String),
    /// This one boots first from now on.
    Done(String),
}

/// Deployments of commits of OSTree.
#[derive(Debug)]
pub struct BootedOstree(Sysroot);

impl BootedOstree {
    /// Those of a sysroot.
    #[must_use]
    pub const fn new(sysroot: Sysroot) -> Self {
        Self(sysroot)
    }

    /// The deployment whose `/etc` is meant.
    fn etc_deployment(
        &self,
        stateroot: Option<&StaterootName>,
    ) -> Result<DeploymentId, ChangeError> {
        let state = self.0.load()?;
        let deployment = match stateroot {
            Some(stateroot) => state.merge_deployment(stateroot),
            None => state.booted().or(state.deployments.first()),
        };
        Ok(deployment.ok_or(ChangeError::NothingDeployed)?.id.clone())
    }
}

impl Backend for BootedOstree {
    fn is_running(&self) -> bool {
        self.0.is_running()
    }

    fn status(&self, facts: RunningFacts) -> Result<Status, ChangeError> {
        Ok(crate::status(&self.0, facts)?)
    }

    fn check_upgrade(&self, job: &Job<'_>) -> Result<Check, ChangeError> {
        crate::check_upgrade(
            &self.0,
            job.access,
            job.options,
            job.progress,
            job.interrupt,
        )
    }

    fn upgrade(&self, job: &Job<'_>) -> Result<Upgraded, ChangeError> {
        crate::upgrade(
            &self.0,
            job.access,
            job.options,
            job.progress,
            job.interrupt,
        )
    }

    fn switch(&self, image: &OstreeImageReference, job: &Job<'_>) -> Result<Upgraded, ChangeError> {
        let (options, progress) = (job.options, job.progress);
        crate::switch(&self.0, image, job.access, options, progress, job.interrupt)
    }

    fn rollback(
        &self,
        wanted: Option<&Selector>,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError> {
        crate::rollback(&self.0, wanted, options, progress)
    }

    fn undeploy(
        &self,
        which: &Selector,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError> {
        crate::undeploy(&self.0, which, options, progress)
    }

    fn undeploy_all(
        &self,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError> {
        crate::wipe_ostree(&self.0, options, progress)
    }

    fn kernel_arguments(&self) -> Result<Vec<String>, ChangeError> {
        crate::kernel_arguments(&self.0)
    }

    fn change_kernel_arguments(
        &self,
        change: &ArgsChange,
        options: &ChangeOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Change, ChangeError> {
        crate::change_kernel_arguments(&self.0, change, options, progress, interrupt)
    }

    fn pin(
        &self,
        which: &Selector,
        pinned: bool,
        options: &ChangeOptions,
    ) -> Result<Pinned, ChangeError> {
        crate::pin(&self.0, which, pinned, options)
    }

    fn cleanup(
        &self,
        options: &ChangeOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Cleaned, ChangeError> {
        crate::cleanup(&self.0, options, progress, interrupt)
    }

    fn switch_in_place(
        &self,
        image: &OstreeImageReference,
        drop_signature: bool,
        options: &ChangeOptions,
    ) -> Result<SwitchedInPlace, ChangeError> {
        crate::switch_origin_inplace(&self.0, image, drop_signature, options)
    }

    fn reset(
        &self,
        access: &Access,
        options: &ResetOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<ResetDone, ChangeError> {
        crate::reset(&self.0, access, options, progress, interrupt)
    }

    fn remove_stateroot(
        &self,
        stateroot: &StaterootName,
        with_deployments: bool,
        options: &ChangeOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<RemovedStateroot, ChangeError> {
        crate::stateroot_remove::stateroot_remove(
            &self.0,
            stateroot,
            with_deployments,
            options,
            progress,
            interrupt,
        )
    }

    fn bound_roots(&self) -> Result<Vec<BoundRoot>, ChangeError> {
        Ok(crate::bound_roots(&self.0).map_err(Box::new)?)
    }

    fn strict_images(&self) -> Result<BTreeSet<Digest>, ChangeError> {
        Ok(BTreeSet::new())
    }

    fn etc_changes(
        &self,
        stateroot: Option<&StaterootName>,
    ) -> Result<(String, EtcChanges), ChangeError> {
        let id = self.etc_deployment(stateroot)?;
        Ok((id.to_string(), self.0.etc_changes(&id)?))
    }

    fn etc_place(&self, stateroot: Option<&StaterootName>) -> Result<EtcPlace, ChangeError> {
        let id = self.etc_deployment(stateroot)?;
        let base = self.0.dir().try_clone_to_owned();
        Ok(EtcPlace {
            deployment: id.to_string(),
            path: format!("{}/etc", id.path()),
            base: base.during("open", "the physical root")?,
        })
    }

    fn unlock_usr(
        &self,
        unlock: UnlockFor,
        mount: &MountOverlay<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<String, ChangeError> {
        let locked = self.0.lock(ChangeOptions::default().lock_timeout)?;
        crate::unlock_usr(&locked, unlock, mount, progress, interrupt)
    }

    fn prepare_soft_reboot(
        &self,
        which: &Selector,
        kernel_args: &KernelArgs,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<String, ChangeError> {
        crate::soft_reboot::prepare_selected(&self.0, which, kernel_args, progress, interrupt)
    }

    fn clear_soft_reboot(&self) -> Result<bool, ChangeError> {
        let locked = self.0.lock(ChangeOptions::default().lock_timeout)?;
        Ok(locked.clear_soft_reboot()?)
    }

    fn finalize(&self) -> Result<Completed, ChangeError> {
        if !self.is_running() {
            return Ok(Completed::Nothing);
        }
        let locked = self.0.lock(ChangeOptions::default().lock_timeout)?;
        let staged = locked.load()?.staged().map(|staged| staged.target.0.commit);
        let policy = match staged {
            Some(commit) => ::image::policy_of_commit(locked.repo(), &commit)?,
            None => None,
        };
        Ok(match locked.finalize_staged(policy.as_ref())? {
            Finalized::Nothing => Completed::Nothing,
            Finalized::Locked(id) => Completed::Held(id.to_string()),
            Finalized::Done(id) => Completed::Done(id.to_string()),
        })
    }
}

impl From<FinalizedRoot> for Completed {
    fn from(finalized: FinalizedRoot) -> Self {
        match finalized {
            FinalizedRoot::Done(id) => Self::Done(id.to_string()),
            FinalizedRoot::Locked(id) => Self::Held(id.to_string()),
            _ => Self::Nothing,
        }
    }
}
