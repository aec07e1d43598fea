//! What is deployed, as one value to be shown.

use boot_format::{BootChecksum, BootVersion, KernelArgs, SubBootVersion};
use ostree_format::Checksum;
use serde::{Serialize, Serializer};

use crate::load::{LoadError, State};
use crate::{
    DamagedEntry, Deployment, DeploymentId, Origin, Problem, StagedData, StaterootName, Sysroot,
    Unlocked,
};

/// What is deployed.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The active set of boot entries.
    pub boot_version: BootVersion,
    /// The active set of boot links.
    pub sub_boot_version: SubBootVersion,
    /// The stateroots that exist, with or without deployments.
    pub stateroots: Vec<StaterootName>,
    /// Deployments in boot order, a staged one first.
    pub deployments: Vec<DeploymentStatus>,
    /// Boot entries that lead to no deployment.
    pub damaged: Vec<DamagedStatus>,
}

/// A deployment.
#[derive(Debug, Clone, Serialize)]
pub struct DeploymentStatus {
    /// Position in the list, by which verbs name it.
    pub index: usize,
    /// The stateroot.
    pub stateroot: StaterootName,
    /// The commit.
    #[serde(serialize_with = "as_text")]
    pub commit: Checksum,
    /// Tells deployments of the same commit apart.
    pub serial: u32,
    /// The kernel.
    pub boot_checksum: BootChecksum,
    /// The number among those with the same kernel; `None` while staged.
    pub boot_serial: Option<u32>,
    /// It runs.
    pub booted: bool,
    /// It boots next instead of the running one.
    pub pending: bool,
    /// It is what the running one can be rolled back to.
    pub rollback: bool,
    /// It is completed at shutdown.
    pub staged: bool,
    /// It is staged, but waits for a release.
    pub finalization_locked: bool,
    /// Clean-ups keep it.
    pub pinned: bool,
    /// Whether it was made writable.
    pub unlocked: Unlocked,
    /// The version that its commit says it is.
    pub version: Option<String>,
    /// Whether it has an origin file that can be read.
    pub has_origin: bool,
    /// The ref that it follows.
    pub refspec: Option<String>,
    /// The container image that it follows.
    pub image_reference: Option<String>,
    /// Whether another program has added packages to it, by what its origin file says.
    pub layered: bool,
    /// Whether it has the kernel and the arguments that are running.
    pub same_kernel: bool,
    /// It is what a soft reboot changes to.
    pub soft_reboot_target: bool,
    /// Its kernel arguments.
    pub kernel_args: KernelArgs,
    /// What is wrong with it.
    pub problems: Vec<ProblemStatus>,
}

impl DeploymentStatus {
    /// What it is called.
    #[must_use]
    pub fn id(&self) -> DeploymentId {
        DeploymentId {
            stateroot: self.stateroot.clone(),
            commit: self.commit,
            serial: self.serial,
        }
    }
}

/// Something that is wrong with a deployment.
#[derive(Debug, Clone, Serialize)]
pub struct ProblemStatus {
    /// For programs.
    #[serde(flatten)]
    pub problem: Problem,
    /// For people.
    pub message: String,
}

/// A boot entry that leads to no deployment.
#[derive(Debug, Clone, Serialize)]
pub struct DamagedStatus {
    /// The entry's file; for a stage that cannot be read, its description.
    pub file: String,
    /// What is wrong.
    pub cause: String,
}

fn as_text<S: Serializer>(checksum: &Checksum, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(checksum)
}

impl Sysroot {
    /// What is deployed. What is damaged is part of the answer, not an error.
    ///
    /// # Errors
    /// [`LoadError`] when it cannot even be told which boot entries are active.
    pub fn status(&self) -> Result<Status, LoadError> {
        let state = self.load()?;
        let mut deployments = Vec::new();
        let mut damaged: Vec<_> = state.damaged.iter().map(damage).collect();
        match &state.staged {
            Some(Ok(staged)) => {
                deployments.push(self.staged_status(staged, state.stage_missed));
            }
            Some(Err(error)) => damaged.push(DamagedStatus {
                file: "staged-deployment".to_owned(),
                cause: error.to_string(),
            }),
            None => {}
        }
        let (pending, rollback) = state.around_booted();
        for (place, deployment) in state.deployments.iter().enumerate() {
            deployments.push(DeploymentStatus {
                index: deployments.len(),
                booted: state.booted == Some(place),
                pending: pending == Some(place),
                rollback: rollback == Some(place),
                ..self.deployment_status(deployment)
            });
        }
        if let Some(booted) = state.booted() {
            let args = booted.kernel_args().without_ostree();
            for deployment in &mut deployments {
                deployment.soft_reboot_target = self.is_next_root(&deployment.id())?;
                deployment.same_kernel = deployment.boot_checksum == booted.boot_checksum
                    && deployment.kernel_args.without_ostree() == args;
            }
        }
        Ok(Status {
            boot_version: state.boot_version,
            sub_boot_version: state.sub_boot_version,
            stateroots: self.stateroots()?,
            deployments,
            damaged,
        })
    }

    fn deployment_status(&self, deployment: &Deployment) -> DeploymentStatus {
        let problems = deployment.problems.iter().map(|problem| ProblemStatus {
            message: problem.to_string(),
            problem: problem.clone(),
        });
        let checksum = deployment.boot_checksum.clone();
        DeploymentStatus {
            boot_serial: Some(deployment.boot_serial),
            unlocked: deployment.unlocked,
            kernel_args: deployment.kernel_args(),
            problems: problems.collect(),
            ..self.describe(&deployment.id, checksum, deployment.origin.as_ref())
        }
    }

    fn staged_status(&self, staged: &StagedData, missed: bool) -> DeploymentStatus {
        let (id, checksum) = &staged.target;
        let origin = self.read_origin(id);
        let cause = origin.as_ref().err().cloned();
        let unreadable = cause.map(|cause| Problem::Origin { cause });
        let missed = missed.then_some(Problem::MissedFinalization);
        let problems = unreadable.into_iter().chain(missed);
        DeploymentStatus {
            staged: true,
            pending: true,
            finalization_locked: staged.locked,
            kernel_args: staged.command_line().unwrap_or_default(),
            problems: problems
                .map(|problem| ProblemStatus {
                    message: problem.to_string(),
                    problem,
                })
                .collect(),
            ..self.describe(id, checksum.clone(), origin.ok().flatten().as_ref())
        }
    }

    /// What is said of every deployment.
    fn describe(
        &self,
        id: &DeploymentId,
        boot_checksum: BootChecksum,
        origin: Option<&Origin>,
    ) -> DeploymentStatus {
        DeploymentStatus {
            index: 0,
            stateroot: id.stateroot.clone(),
            commit: id.commit,
            serial: id.serial,
            boot_checksum,
            boot_serial: None,
            booted: false,
            pending: false,
            rollback: false,
            staged: false,
            finalization_locked: false,
            pinned: origin.is_some_and(Origin::is_pinned),
            unlocked: Unlocked::None,
            version: self.version_of(id),
            has_origin: origin.is_some(),
            refspec: origin.and_then(Origin::refspec),
            image_reference: origin.and_then(Origin::image_reference),
            layered: origin.is_some_and(Origin::is_layered),
            same_kernel: false,
            soft_reboot_target: false,
            kernel_args: KernelArgs::new(),
            problems: Vec::new(),
        }
    }
}

fn damage(entry: &DamagedEntry) -> DamagedStatus {
    DamagedStatus {
        file: entry.file.clone(),
        cause: entry.damage.to_string(),
    }
}

impl State {
    /// The first deployment of the running one's stateroot before it, unless something is staged, and
    /// the first after it.
    fn around_booted(&self) -> (Option<usize>, Option<usize>) {
        let (Some(booted), Some(place)) = (self.booted(), self.booted) else {
            return (None, None);
        };
        let same = |index: &usize| {
            let other = self.deployments.get(*index);
            other.is_some_and(|other| other.id.stateroot == booted.id.stateroot)
        };
        let pending = (0..place).find(same).filter(|_| self.staged.is_none());
        let rollback = (place.saturating_add(1)..self.deployments.len()).find(same);
        (pending, rollback)
    }
}
