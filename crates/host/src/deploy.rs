//! Making an image bootable: pulled, checked out, and with a boot entry.

use std::time::Duration;

use error_class::{Classified, ErrorClass};
use oci::reference::OstreeImageReference;
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{
    ArgsBase, DeployError, DeployPlan, DeployRequest, Deployment, KernelArgsEdit, LoadError,
    Origin, StaterootName, Sysroot, SysrootLockError,
};

use crate::bound_images::{Asked, check_bound, fetch_bound};
use crate::text::text;
use crate::{
    Access, ImageArgsError, PullError, PullOptions, Pulled, argument_changes, image_arguments, pull,
};

/// What is to be deployed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeployOptions {
    /// Where to; it is made when it is not there.
    pub stateroot: StaterootName,
    /// The reference that the deployment follows from then on, instead of the one it is fetched by.
    pub target: Option<OstreeImageReference>,
    /// Keep the image's layers, but not the image: only the deployment names its commit.
    pub no_imgref: bool,
    /// The kernel arguments, to which those of the image are added. When there are none, those of the deployment
    /// that this one follows are kept, but for what the image changes.
    pub kernel_arguments: Vec<String>,
    /// The processor, as the kernel calls it.
    pub architecture: String,
    /// How long to wait for the lock of the system.
    pub lock_timeout: Duration,
    /// The current time in seconds since 1970, for images that do not say when they were made.
    pub now: u64,
}

impl DeployOptions {
    /// Deploy to `stateroot`, with everything else as usual.
    #[must_use]
    pub fn new(stateroot: StaterootName, architecture: &str) -> Self {
        Self {
            stateroot,
            target: None,
            no_imgref: false,
            kernel_arguments: Vec::new(),
            architecture: architecture.to_owned(),
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
    /// Kernel arguments of an image cannot be understood.
    #[error(transparent)]
    ImageArgs(#[from] ImageArgsError),
    /// Images that the system binds are not there.
    #[error(transparent)]
    Bound(#[from] Box<crate::BoundError>),
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
            Self::ImageArgs(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::Bound(error) => error.class(),
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
    let asked = Asked::new(access, options.now, progress, interrupt);
    fetch_bound(sysroot, &pulled.commit, &asked).map_err(Box::new)?;
    let follows = options.target.as_ref().unwrap_or(image);
    let locked = sysroot.lock(options.lock_timeout)?;
    let stateroot_created = locked.ensure_stateroot(&options.stateroot)?;
    let state = locked.load()?;
    let policy = ::image::policy_of_commit(sysroot.repo(), &pulled.commit)?;
    let failed = |source| DeployImageError::Deploy {
        image: Box::new(image.clone()),
        source: Box::new(source),
    };
    let merge = state.merge_deployment(&options.stateroot);
    let request = DeployRequest {
        kernel_args: kernel_arguments(sysroot, merge, &pulled.commit, options)?,
        ..request(&pulled, follows, options)
    };
    let plan = locked.plan_deploy(&state, &request).map_err(failed)?;
    check_bound(&locked, &pulled.commit).map_err(Box::new)?;
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
        no_imgref: options.no_imgref,
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
    request
}

/// Those that were given and those of the image; or those of the deployment before, with what the image changes.
fn kernel_arguments(
    sysroot: &Sysroot,
    merge: Option<&Deployment>,
    commit: &Checksum,
    options: &DeployOptions,
) -> Result<KernelArgsEdit, ImageArgsError> {
    let of_image = |commit| image_arguments(sysroot.repo(), commit, &options.architecture);
    let new = of_image(commit)?;
    let given = &options.kernel_arguments;
    let is_new = |arg: &String| !given.contains(arg);
    if !given.is_empty() || merge.is_none() {
        let added = new.into_iter().filter(is_new);
        return Ok(KernelArgsEdit {
            base: ArgsBase::Nothing,
            append: given.iter().cloned().chain(added).collect(),
            ..KernelArgsEdit::default()
        });
    }
    let old = merge.map(|merge| of_image(&merge.id.commit));
    // What cannot be read any more has added nothing that could be told.
    let old = old.and_then(Result::ok).unwrap_or_default();
    let there = merge.map(Deployment::kernel_args).unwrap_or_default();
    let (mut append, mut delete) = argument_changes(&old, &new);
    let is_there = |arg: &String| there.iter().any(|other| other.to_string() == *arg);
    append.retain(|arg| !is_there(arg));
    delete.retain(is_there);
    Ok(KernelArgsEdit {
        append,
        delete,
        ..KernelArgsEdit::default()
    })
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
