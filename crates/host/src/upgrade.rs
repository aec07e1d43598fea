//! Following an image: fetching what is newer and deploying it, or switching to another image.

use std::time::Duration;

use error_class::{Classified as _, ErrorClass};
use oci::reference::OstreeImageReference;
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{
    DeployPlan, DeployRequest, Deployment, KernelArgsEdit, Locked, MergeFrom, Origin, State,
    StaterootName, Sysroot,
};

use crate::change::describe;
use crate::image_args::{argument_changes, image_arguments};
use crate::{Access, Change, ChangeError, Check, PullOptions, Pulled, check, pull};

/// Choices of an upgrade or a switch.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UpgradeOptions {
    /// The stateroot; that of the running deployment, or of the first one, when `None`.
    pub stateroot: Option<StaterootName>,
    /// Fetch the image, but do not deploy it.
    pub download_only: bool,
    /// Complete it when the system shuts down. Only on a running system.
    pub stage: bool,
    /// Only say what would be done. The image is fetched for that.
    pub dry_run: bool,
    /// The processor, as the kernel calls it.
    pub architecture: String,
    /// How long to wait for others that work on the system.
    pub lock_timeout: Duration,
    /// The current time in seconds since 1970.
    pub now: u64,
}

impl UpgradeOptions {
    /// Everything as usual, on a processor of this kind.
    #[must_use]
    pub fn new(architecture: &str) -> Self {
        Self {
            stateroot: None,
            download_only: false,
            stage: false,
            dry_run: false,
            architecture: architecture.to_owned(),
            lock_timeout: Duration::from_secs(60),
            now: 0,
        }
    }
}

/// What an upgrade or a switch has done (`docs/upgrade.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Upgraded {
    schema: &'static str,
    /// The image as it was fetched.
    pub pull: Pulled,
    /// Whether it is deployed or staged now, and was not before.
    pub deployed: bool,
    /// Whether it is completed when the system shuts down.
    pub staged: bool,
    /// What boots afterwards; nothing when the image is deployed already or was only fetched.
    pub change: Option<Change>,
    /// What is carried over in `/etc`, and where that meets changes of the image.
    pub etc: Option<sysroot::EtcPlan>,
}

/// Fetch what is newer of the image that is followed, and deploy it.
///
/// # Errors
/// [`ChangeError`]; an image that was pulled by then stays.
pub fn upgrade(
    sysroot: &Sysroot,
    access: &Access,
    options: &UpgradeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Upgraded, ChangeError> {
    let image = followed(sysroot, options)?;
    switch(sysroot, &image, access, options, progress, interrupt)
}

/// Whether there is something newer of the image that is followed. Nothing is fetched but its manifest.
///
/// # Errors
/// [`ChangeError`].
pub fn check_upgrade(
    sysroot: &Sysroot,
    access: &Access,
    options: &UpgradeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Check, ChangeError> {
    let image = followed(sysroot, options)?;
    let choices = PullOptions::default();
    let (repo, image) = (sysroot.repo(), &image);
    Ok(check(repo, image, access, &choices, progress, interrupt)?)
}

/// Follow `image` from now on: fetch it and deploy it.
///
/// # Errors
/// [`ChangeError`]; an image that was pulled by then stays.
pub fn switch(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    access: &Access,
    options: &UpgradeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Upgraded, ChangeError> {
    let choices = PullOptions {
        require_bootable: true,
        now: options.now,
        ..PullOptions::default()
    };
    let repo = sysroot.repo();
    let pulled = pull(repo, image, access, &choices, progress, interrupt)?;
    if options.download_only {
        return Ok(done(pulled, None, None));
    }
    let locked = sysroot.lock(options.lock_timeout)?;
    // A stage that no shutdown has completed counts again.
    locked.resume_stage()?;
    let state = locked.load()?;
    let merge = merge_deployment(&state, options)?;
    if is_deployed(&state, merge, &pulled, image) {
        return Ok(done(pulled, None, None));
    }
    let request = request(&locked, merge, &pulled.commit, image, options)?;
    let plan = locked.plan_deploy(&state, &request)?;
    if !options.dry_run {
        carry_out(&locked, &plan, options.stage, progress, interrupt)?;
    }
    let change = describe(&plan.boot, &plan.dropped, !options.dry_run);
    Ok(done(pulled, Some(change), Some((options.stage, plan.etc))))
}

fn carry_out(
    locked: &Locked<'_>,
    plan: &DeployPlan,
    stage: bool,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), ChangeError> {
    let policy = ::image::policy_of_commit(locked.repo(), &plan.deployment.commit)?;
    if stage {
        locked.stage(plan, false, policy.as_ref(), progress, interrupt)?;
    } else {
        locked.apply_deploy(plan, policy.as_ref(), progress, interrupt)?;
    }
    Ok(())
}

fn done(
    pull: Pulled,
    change: Option<Change>,
    staged: Option<(bool, Option<sysroot::EtcPlan>)>,
) -> Upgraded {
    let (staged, etc) = staged.unwrap_or_default();
    Upgraded {
        schema: "bootroot.upgrade/1",
        deployed: change.as_ref().is_some_and(|change| change.made),
        staged: staged && change.as_ref().is_some_and(|change| change.made),
        pull,
        change,
        etc,
    }
}

/// The image that the deployment follows which would be merged from.
fn followed(
    sysroot: &Sysroot,
    options: &UpgradeOptions,
) -> Result<OstreeImageReference, ChangeError> {
    let state = sysroot.load()?;
    let merge = merge_deployment(&state, options)?;
    let reference = merge.origin.as_ref().and_then(Origin::image_reference);
    let reference = reference.ok_or_else(|| ChangeError::NoImage(merge.id.to_string()))?;
    OstreeImageReference::from_user(&reference).map_err(|error| ChangeError::Reference {
        cause: error.to_string(),
        reference,
    })
}

fn merge_deployment<'a>(
    state: &'a State,
    options: &UpgradeOptions,
) -> Result<&'a Deployment, ChangeError> {
    let first = state.booted().or(state.deployments.first());
    let found = match &options.stateroot {
        Some(stateroot) => state.merge_deployment(stateroot),
        None => first,
    };
    found.ok_or(ChangeError::NotFound(crate::Selector::Index(0)))
}

/// Whether the image is what boots next already, and is followed.
fn is_deployed(
    state: &State,
    merge: &Deployment,
    pulled: &Pulled,
    image: &OstreeImageReference,
) -> bool {
    let follows = |origin: Option<&Origin>| {
        origin.and_then(Origin::image_reference).as_deref() == Some(&image.to_string())
    };
    if let Some(staged) = state.staged() {
        return staged.target.0.commit == pulled.commit;
    }
    let next = state
        .deployments
        .iter()
        .find(|deployment| deployment.id.stateroot == merge.id.stateroot);
    let next = next.unwrap_or(merge);
    next.id.commit == pulled.commit && follows(next.origin.as_ref())
}

fn request(
    locked: &Locked<'_>,
    merge: &Deployment,
    commit: &Checksum,
    image: &OstreeImageReference,
    options: &UpgradeOptions,
) -> Result<DeployRequest, ChangeError> {
    let architecture = &options.architecture;
    let old = match image_arguments(locked.repo(), &merge.id.commit, architecture) {
        // What cannot be read any more has added nothing that could be told.
        Err(error) if error.class() == ErrorClass::NotFound => Vec::new(),
        other => other?,
    };
    let new = image_arguments(locked.repo(), commit, architecture)?;
    let (mut append, mut delete) = argument_changes(&old, &new);
    // What was changed or added locally is left as it is.
    let there = merge.kernel_args();
    let is_there = |arg: &String| there.iter().any(|other| other.to_string() == *arg);
    append.retain(|arg| !is_there(arg));
    delete.retain(is_there);
    let mut request = DeployRequest::new(merge.id.stateroot.clone(), *commit);
    let mut origin = merge
        .origin
        .as_ref()
        .map(Origin::for_successor)
        .unwrap_or_default();
    origin.file_mut().remove("origin", "refspec");
    let reference = image.to_string();
    origin
        .file_mut()
        .set("origin", "container-image-reference", &reference);
    request.origin = Some(origin);
    request.merge = MergeFrom::Deployment(merge.id.clone());
    request.kernel_args = KernelArgsEdit {
        append,
        delete,
        ..KernelArgsEdit::default()
    };
    Ok(request)
}
