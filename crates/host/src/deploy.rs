//! Making an image bootable: pulled, checked out, and with a boot entry.

use std::time::Duration;

use error_class::{Classified, ErrorClass};
use oci::reference::OstreeImageReference;
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{
    ArgsBase, DeployError, DeployPlan, DeployRequest, KernelArgsEdit, LoadError, Origin,
    StaterootName, Sysroot, SysrootLockError,
};

use crate::text::text;
use crate::{Access, PullError, PullOptions, Pulled, pull};

/// What is to be deployed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeployOptions {
    /// Where to; it is made when it is not there.
    pub stateroot: StaterootName,
    /// The reference that the deployment follows from then on, instead of the one it is fetched by.
    pub target: Option<OstreeImageReference>,
    /// The kernel arguments. When there are none, those of the deployment that this one follows are kept.
    pub kernel_arguments: Vec<String>,
    /// How long to wait for the lock of the system.
    pub lock_timeout: Duration,
    /// The current time in seconds since 1970, for images that do not say when they were made.
    pub now: u64,
}

impl DeployOptions {
    /// Deploy to `stateroot`, with everything else as usual.
    #[must_use]
    pub fn new(stateroot: StaterootName) -> Self {
        Self {
            stateroot,
            target: None,
            kernel_arguments: Vec::new(),
            lock_timeout: Duration::from_secs(60),
            now: 0,
        }
    }
}

/// A deployment that was made (`docs/deploy.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Deployed {
    schema: &'static str,
    /// The stateroot.
    pub stateroot: String,
    /// Whether the stateroot was made for it.
    pub stateroot_created: bool,
    /// The commit.
    #[serde(serialize_with = "text")]
    pub commit: Checksum,
    /// Its number among deployments of that commit.
    pub serial: u32,
    /// Its directory below the physical root.
    pub path: String,
    /// The reference that it follows.
    #[serde(serialize_with = "text")]
    pub image: OstreeImageReference,
    /// The version that the image says it has.
    pub version: Option<String>,
    /// The version of its kernel, unless the image keeps it in one of the older places.
    pub kernel: Option<String>,
    /// Its kernel arguments, without the one that selects it.
    pub kernel_arguments: Vec<String>,
    /// Deployments that no longer boot and were removed, as `STATEROOT COMMIT.SERIAL`.
    pub removed: Vec<String>,
    /// How the image was pulled.
    pub pull: Pulled,
}

/// Why an image was not deployed. Which deployments boot has not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployImageError {
    /// The image cannot be pulled.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// Somebody else is at work on the system.
    #[error(transparent)]
    Lock(#[from] SysrootLockError),
    /// What is deployed cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The stateroot cannot be made.
    #[error(transparent)]
    Stateroot(#[from] durable::Error),
    /// The image's SELinux policy cannot be used.
    #[error(transparent)]
    Policy(#[from] ::image::PolicyError),
    /// The image cannot be deployed.
    #[error("cannot deploy {image}")]
    Deploy {
        /// The image.
        image: Box<OstreeImageReference>,
        /// Why.
        source: Box<DeployError>,
    },
}

impl Classified for DeployImageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Pull(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Load(error) => error.class(),
            Self::Stateroot(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::Deploy { source, .. } => source.class(),
        }
    }
}

/// Pulls an image unless it is there, and makes it boot first.
///
/// # Errors
/// [`DeployImageError`]; an image that was pulled by then stays.
pub fn deploy(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    access: &Access,
    options: &DeployOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Deployed, DeployImageError> {
    let pulled = pull(
        sysroot.repo(),
        image,
        access,
        &pull_options(options),
        progress,
        interrupt,
    )?;
    let follows = options.target.as_ref().unwrap_or(image);
    let locked = sysroot.lock(options.lock_timeout)?;
    let stateroot_created = locked.ensure_stateroot(&options.stateroot)?;
    let state = locked.load()?;
    let policy = ::image::policy_of_commit(sysroot.repo(), &pulled.commit)?;
    let failed = |source| DeployImageError::Deploy {
        image: Box::new(image.clone()),
        source: Box::new(source),
    };
    let plan = locked
        .plan_deploy(&state, &request(&pulled, follows, options))
        .map_err(failed)?;
    locked
        .apply_deploy(&plan, policy.as_ref(), progress, interrupt)
        .map_err(failed)?;
    Ok(describe(plan, pulled, follows, stateroot_created))
}

fn pull_options(options: &DeployOptions) -> PullOptions {
    PullOptions {
        target: options.target.as_ref().map(|target| target.imgref.clone()),
        // What is deployed is meant to boot.
        require_bootable: true,
        now: options.now,
        ..PullOptions::default()
    }
}

fn request(
    pulled: &Pulled,
    follows: &OstreeImageReference,
    options: &DeployOptions,
) -> DeployRequest {
    let mut request = DeployRequest::new(options.stateroot.clone(), pulled.commit);
    request.origin = Some(Origin::from_image(&follows.to_string()));
    request.kernel_args = kernel_arguments(&options.kernel_arguments);
    request
}

fn kernel_arguments(given: &[String]) -> KernelArgsEdit {
    KernelArgsEdit {
        base: if given.is_empty() {
            ArgsBase::Merge
        } else {
            ArgsBase::Nothing
        },
        append: given.to_vec(),
        ..KernelArgsEdit::default()
    }
}

fn describe(
    plan: DeployPlan,
    pulled: Pulled,
    follows: &OstreeImageReference,
    stateroot_created: bool,
) -> Deployed {
    let id = &plan.deployment;
    Deployed {
        schema: "bootroot.deploy/1",
        stateroot: id.stateroot.to_string(),
        stateroot_created,
        commit: id.commit,
        serial: id.serial,
        path: id.path(),
        image: follows.clone(),
        version: pulled.version.clone().or(plan.version),
        kernel: plan.kernel.version,
        kernel_arguments: plan.kernel_args.without_ostree().to_strings(),
        removed: plan.dropped.iter().map(ToString::to_string).collect(),
        pull: pulled,
    }
}
