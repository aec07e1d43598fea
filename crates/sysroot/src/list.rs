//! Verbs on the list of deployments that are there: undeploy, set the default, kernel arguments, pins.

use std::path::Path;

use boot_format::KernelArgs;
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use file_contexts::Policy;
use progress::Progress;
use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use crate::boot::plan::Wanted;
use crate::boot::{BootError, BootPlan};
use crate::cleanup::CleanupError;
use crate::deploy::Basis;
use crate::load::State;
use crate::{Deployment, DeploymentId, Locked, Origin, StaterootName, Sysroot, attributes};

/// What changing the list of deployments would do.
#[derive(Debug, Clone, Serialize)]
pub struct ListPlan {
    /// Boot entries and links.
    pub boot: BootPlan,
    /// Deployments that no longer boot and are removed afterwards.
    pub dropped: Vec<DeploymentId>,
    /// What the plan was made for.
    #[serde(skip)]
    basis: Basis,
}

/// Why the list of deployments was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// There is no such deployment.
    #[error("there is no deployment {0}")]
    NotFound(Box<DeploymentId>),
    /// It runs.
    #[error("deployment {0} is running: it cannot be removed")]
    Running(Box<DeploymentId>),
    /// Deployments have changed since the plan was made.
    #[error("what is deployed has changed since this was planned; plan again")]
    Outdated,
    /// Its origin file is missing or damaged, so nothing can be noted in it.
    #[error("deployment {0} has no readable origin file")]
    NoOrigin(Box<DeploymentId>),
    /// Boot entries could not be planned or written.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// What is left over could not be removed.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for ListError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Running(_) => ErrorClass::InvalidInput,
            Self::Outdated => ErrorClass::Locked,
            Self::NoOrigin(_) => ErrorClass::Corrupt,
            Self::Boot(error) => error.class(),
            Self::Cleanup(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Sysroot {
    /// Plan to remove a deployment.
    ///
    /// # Errors
    /// [`ListError`]; the running one cannot be removed.
    pub fn plan_undeploy(&self, state: &State, id: &DeploymentId) -> Result<ListPlan, ListError> {
        let deployment = find(state, id)?;
        if state.booted() == Some(deployment) {
            return Err(ListError::Running(Box::new(id.clone())));
        }
        let others = state.deployments.iter().filter(|other| other.id != *id);
        self.plan_list(state, others.cloned().collect())
    }

    /// Plan to remove all deployments. Nothing boots any more then.
    ///
    /// # Errors
    /// [`ListError`]; not while one of them is running.
    pub fn plan_undeploy_all(&self, state: &State) -> Result<ListPlan, ListError> {
        match state.booted() {
            Some(booted) => Err(ListError::Running(Box::new(booted.id.clone()))),
            None => self.plan_list(state, Vec::new()),
        }
    }

    /// Plan to remove all deployments of a stateroot.
    ///
    /// # Errors
    /// [`ListError`]; not while one of them is running.
    pub fn plan_undeploy_stateroot(
        &self,
        state: &State,
        stateroot: &StaterootName,
    ) -> Result<ListPlan, ListError> {
        let is_of_it = |deployment: &&Deployment| deployment.id.stateroot == *stateroot;
        if let Some(booted) = state.booted().filter(is_of_it) {
            return Err(ListError::Running(Box::new(booted.id.clone())));
        }
        let others = state.deployments.iter().filter(|one| !is_of_it(one));
        self.plan_list(state, others.cloned().collect())
    }

    /// Plan to let a deployment boot by default: it moves to the front.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn plan_set_default(
        &self,
        state: &State,
        id: &DeploymentId,
    ) -> Result<ListPlan, ListError> {
        let first = find(state, id)?.clone();
        let others = state.deployments.iter().filter(|other| other.id != *id);
        self.plan_list(state, [first].into_iter().chain(others.cloned()).collect())
    }

    /// Plan to give a deployment other kernel arguments; its `ostree=` argument is set in any case.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn plan_kernel_args(
        &self,
        state: &State,
        id: &DeploymentId,
        args: &KernelArgs,
    ) -> Result<ListPlan, ListError> {
        find(state, id)?;
        let edit = |deployment: &Deployment| (deployment.id == *id).then(|| args.clone());
        self.plan_all_kernel_args(state, &edit)
    }

    /// Plan to give other kernel arguments to each deployment for which `edit` has some.
    ///
    /// # Errors
    /// [`ListError`].
    pub fn plan_all_kernel_args(
        &self,
        state: &State,
        edit: &dyn Fn(&Deployment) -> Option<KernelArgs>,
    ) -> Result<ListPlan, ListError> {
        let mut deployments = state.deployments.clone();
        for deployment in &mut deployments {
            if let Some(args) = edit(deployment) {
                deployment.entry.set("options", &args.to_string());
            }
        }
        self.plan_list(state, deployments)
    }

    fn plan_list(
        &self,
        state: &State,
        deployments: Vec<Deployment>,
    ) -> Result<ListPlan, ListError> {
        let stays = |id: &DeploymentId| deployments.iter().any(|deployment| deployment.id == *id);
        let all = state.deployments.iter().map(|deployment| &deployment.id);
        let dropped = all.filter(|id| !stays(id)).cloned().collect();
        let wanted: Vec<_> = deployments.into_iter().map(Wanted::existing).collect();
        let boot = self.plan_boot(state, &wanted)?;
        Ok(ListPlan {
            boot,
            dropped,
            basis: Basis::of(state),
        })
    }
}

fn find<'a>(state: &'a State, id: &DeploymentId) -> Result<&'a Deployment, ListError> {
    state
        .find(id)
        .ok_or_else(|| ListError::NotFound(Box::new(id.clone())))
}

impl Locked<'_> {
    /// Change the list as planned, and remove what no longer boots.
    ///
    /// # Errors
    /// [`ListError`]; [`ListError::Outdated`] when deployments have changed since.
    pub fn apply_list(
        &self,
        plan: &ListPlan,
        policy: Option<&Policy>,
        progress: &dyn Progress,
    ) -> Result<(), ListError> {
        let state = self.load().map_err(BootError::from)?;
        if Basis::of(&state) != plan.basis {
            return Err(ListError::Outdated);
        }
        self.cleanup()?;
        self.apply_boot(&plan.boot, policy, progress)?;
        self.cleanup()?;
        Ok(())
    }

    /// Pin a deployment, so that no deployment of another removes it, or unpin it. Whether that
    /// changed anything.
    ///
    /// # Errors
    /// [`ListError`]; the old origin file stays then.
    pub fn set_pinned(&self, id: &DeploymentId, pinned: bool) -> Result<bool, ListError> {
        let state = self.load().map_err(BootError::from)?;
        let origin = find(&state, id)?.origin.clone();
        let mut origin = origin.ok_or_else(|| ListError::NoOrigin(Box::new(id.clone())))?;
        if !origin.set_pinned(pinned) {
            return Ok(false);
        }
        self.replace_origin(id, &origin)?;
        Ok(true)
    }

    /// Replace the origin file of a deployment, durably.
    ///
    /// # Errors
    /// What the system said; the old file stays then.
    pub fn replace_origin(&self, id: &DeploymentId, origin: &Origin) -> Result<(), durable::Error> {
        let path = id.origin_path();
        durable::publish(
            self.dir(),
            Path::new(&path),
            origin.to_string().as_bytes(),
            0o644,
        )?;
        self.touch()
    }

    /// Write the origin file of a new deployment; nothing is synced.
    pub(crate) fn write_origin(
        &self,
        id: &DeploymentId,
        origin: &Origin,
        policy: Option<&Policy>,
    ) -> Result<(), durable::Error> {
        let path = id.origin_path();
        let text = origin.to_string();
        durable::publish_no_sync(self.dir(), Path::new(&path), text.as_bytes(), 0o644)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(self.dir(), &path, flags, Mode::empty()).during("open", &path)?;
        // The place whose label libostree gives to origin files.
        attributes::label_file(file, policy, "/etc/ostree/remotes.d/dummy.conf", 0o100_644)
    }
}
