//! Following an image: fetching what is newer and deploying it, or switching to another image.

use std::cell::RefCell;
use std::time::Duration;

use error_class::{Classified as _, ErrorClass};
use image::{ImportPlan, LayeredImageState, Prepared, QueryError, query_image, query_image_commit};
use oci::reference::{OstreeImageReference, SignatureSource};
use ostree::PruneOptions;
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{
    DeployPlan, DeployRequest, Deployment, KernelArgsEdit, Locked, MergeFrom, Origin, State,
    StaterootName, Sysroot,
};

use crate::bound_images::{Asked, check_bound, fetch_bound, plan_bound};
use crate::change::describe;
use crate::image_args::{argument_changes, image_arguments};
use crate::pull::{already_present, look, pull_if};
use crate::reboot_required::require_reboot;
use crate::space::require_space;
use crate::unified::keep_unified;
use crate::upgrade_plan::{UpgradePlan, what_frees_space};
use crate::{Access, Change, ChangeError, Check, PullError, PullOptions, Pulled, check, retag};

/// Choices of an upgrade or a switch.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent choices"
)]
pub struct UpgradeOptions {
    /// The stateroot; that of the running deployment, or of the first one, when `None`.
    pub stateroot: Option<StaterootName>,
    /// Another tag of the image that is followed.
    pub tag: Option<String>,
    /// Fetch the image, but do not let it boot: on a running system it is staged and held.
    pub download_only: bool,
    /// Ask no registry: let what was fetched before boot.
    pub from_downloaded: bool,
    /// Keep the ref that was followed until now.
    pub retain: bool,
    /// Let go of a signature that the image followed until now had to have.
    pub drop_signature: bool,
    /// Complete it when the system shuts down. Only on a running system.
    pub stage: bool,
    /// Only say what would be done. No layer is fetched for that.
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
            tag: None,
            download_only: false,
            from_downloaded: false,
            retain: false,
            drop_signature: false,
            stage: false,
            dry_run: false,
            architecture: architecture.to_owned(),
            lock_timeout: Duration::from_secs(60),
            now: 0,
        }
    }
}

/// What an upgrade or a switch has done, or would do (`docs/upgrade.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Upgraded {
    schema: &'static str,
    /// The image that is followed from now on.
    pub image: String,
    /// What was known before anything was fetched; nothing when there was nothing to fetch and to deploy.
    pub plan: Option<UpgradePlan>,
    /// The image as it was fetched; nothing when it was only planned and is not stored.
    pub pull: Option<Pulled>,
    /// The image as it was fetched for a root of composefs, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<crate::FetchedRoot>,
    /// Whether it is deployed or staged now, and was not before.
    pub deployed: bool,
    /// Whether it is completed when the system shuts down.
    pub staged: bool,
    /// Whether it is staged, but waits for `upgrade --from-downloaded`.
    pub held: bool,
    /// What boots afterwards; nothing when the image is deployed already, was only fetched, or is not stored.
    pub change: Option<Change>,
    /// What is carried over in `/etc`, and where that meets changes of the image.
    pub etc: Option<sysroot::EtcPlan>,
    /// The images that the system binds, with what had to be fetched of them; nothing when it binds none, or is not
    /// stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<crate::BoundPlan>,
    /// Bytes that nothing needed any more and that were removed afterwards.
    pub collected_bytes: u64,
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
    if options.from_downloaded && options.stage && sysroot.load()?.staged().is_some() {
        return release(sysroot, &image, options);
    }
    follow(sysroot, &image, access, options, progress, interrupt)
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

/// Follow `image` from now on: fetch it and deploy it. A signature that the image followed until now had to have,
/// the new one must have, too, unless that is let go of.
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
    let mut image = image.clone();
    let state = sysroot.load()?;
    let current = image_of(merge_deployment(&state, options)?)?;
    keep_signature(&mut image, current.as_ref(), options.drop_signature);
    follow(sysroot, &image, access, options, progress, interrupt)
}

/// What was required of the image until now is required of the new one, unless that asks for more or is to be let go.
pub(crate) fn keep_signature(
    image: &mut OstreeImageReference,
    current: Option<&OstreeImageReference>,
    drop_signature: bool,
) {
    let asks_nothing = image.sigverify == SignatureSource::ContainerPolicyAllowInsecure;
    if let Some(current) = current.filter(|_| asks_nothing && !drop_signature) {
        image.sigverify.clone_from(&current.sigverify);
    }
}

fn follow(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    access: &Access,
    options: &UpgradeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Upgraded, ChangeError> {
    let repo = sysroot.repo();
    if options.from_downloaded {
        return deploy_downloaded(sysroot, image, options, progress, interrupt);
    }
    let choices = pull_options(options);
    if options.dry_run {
        return match look(repo, image, access, &choices, progress, interrupt)? {
            Prepared::AlreadyPresent(state) => {
                let planned = plan_stored(sysroot, image, &state, options)?;
                let asked = Asked::new(access, options.now, progress, interrupt);
                let bound = plan_bound(sysroot, &state.merge_commit, &asked).map_err(Box::new)?;
                Ok(Upgraded {
                    bound: bound.unless_empty(),
                    ..planned
                })
            }
            Prepared::Ready(plan) => plan_before_fetch(sysroot, image, &plan, options),
        };
    }
    let planned = RefCell::new(None);
    let agree = |plan: &ImportPlan| {
        let found = allowed(sysroot, plan, options, progress)?;
        planned.replace(found);
        Ok(())
    };
    let pulled = pull_if(repo, image, access, &choices, progress, interrupt, agree)?;
    let plan = planned.into_inner();
    let asked = Asked::new(access, options.now, progress, interrupt);
    let bound = fetch_bound(sysroot, &pulled.commit, &asked).map_err(Box::new)?;
    let version = (&pulled.commit, &pulled.digest);
    keep_unified(sysroot, image, version, &asked).map_err(Box::new)?;
    let bound = bound.unless_empty();
    if options.download_only && !options.stage {
        return Ok(Upgraded {
            plan,
            bound,
            ..done(image, Some(pulled))
        });
    }
    let deployed = deploy_pulled(sysroot, image, pulled, plan, options, progress, interrupt)?;
    Ok(Upgraded { bound, ..deployed })
}

/// Deploys an image that was fetched, and judged, before.
fn deploy_downloaded(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    options: &UpgradeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Upgraded, ChangeError> {
    let stored = query_image(sysroot.repo(), &image.imgref).map_err(Box::new)?;
    let not_stored = || Box::new(QueryError::NotStored(image.imgref.clone()));
    let stored = stored.ok_or_else(not_stored)?;
    if options.dry_run {
        return plan_stored(sysroot, image, &stored, options);
    }
    let pulled = already_present(image, Some(image.imgref.clone()), &stored);
    deploy_pulled(sysroot, image, pulled, None, options, progress, interrupt)
}

fn pull_options(options: &UpgradeOptions) -> PullOptions {
    PullOptions {
        require_bootable: true,
        now: options.now,
        ..PullOptions::default()
    }
}

fn deploy_pulled(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    pulled: Pulled,
    planned: Option<UpgradePlan>,
    options: &UpgradeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Upgraded, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    // A stage that no shutdown has completed counts again.
    locked.resume_stage()?;
    let state = locked.load()?;
    let merge = merge_deployment(&state, options)?;
    if is_deployed(&state, merge, &pulled.commit, image) {
        let held = state.staged().is_some_and(|staged| staged.locked);
        let released = held && !options.download_only && locked.hold_stage(false)?;
        if released {
            require_reboot(&locked, &pulled.digest.to_string())?;
        }
        return Ok(Upgraded {
            deployed: released,
            staged: state.staged().is_some(),
            held: held && !released,
            collected_bytes: collect(&locked, false, progress, interrupt),
            ..done(image, Some(pulled))
        });
    }
    let request = request(&locked, merge, &pulled.commit, image, options)?;
    let plan = locked.plan_deploy(&state, &request)?;
    let stored = query_image_commit(locked.repo(), &pulled.commit).map_err(Box::new)?;
    let exact = UpgradePlan::of_stored(&locked, merge, &plan, &stored)?;
    check_bound(&locked, &pulled.commit).map_err(Box::new)?;
    carry_out(&locked, &plan, options, progress, interrupt)?;
    if options.stage && !options.download_only {
        require_reboot(&locked, &exact.digest)?;
    }
    forget_ref(&locked, merge, options, progress);
    let change = describe(&plan.boot, &plan.dropped, true);
    Ok(Upgraded {
        deployed: change.made,
        staged: options.stage,
        held: options.stage && options.download_only,
        change: Some(change),
        etc: plan.etc,
        collected_bytes: collect(&locked, true, progress, interrupt),
        // What was known before tells what was fetched.
        plan: Some(match planned {
            Some(before) => UpgradePlan {
                bytes_to_fetch: before.bytes_to_fetch,
                layers: before.layers,
                space: before.space,
                ..exact
            },
            None => exact,
        }),
        ..done(image, Some(pulled))
    })
}

/// What deploying an image would do that is stored.
fn plan_stored(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    stored: &LayeredImageState,
    options: &UpgradeOptions,
) -> Result<Upgraded, ChangeError> {
    let pulled = already_present(image, Some(image.imgref.clone()), stored);
    let state = sysroot.load()?;
    let merge = merge_deployment(&state, options)?;
    if is_deployed(&state, merge, &pulled.commit, image) {
        return Ok(Upgraded {
            staged: state.staged().is_some(),
            held: state.staged().is_some_and(|staged| staged.locked),
            ..done(image, Some(pulled))
        });
    }
    let request = request(sysroot, merge, &pulled.commit, image, options)?;
    let plan = sysroot.plan_deploy(&state, &request)?;
    Ok(Upgraded {
        plan: Some(UpgradePlan::of_stored(sysroot, merge, &plan, stored)?),
        change: Some(describe(&plan.boot, &plan.dropped, false)),
        etc: plan.etc,
        ..done(image, Some(pulled))
    })
}

/// What deploying an image would do of which manifest and config are known.
fn plan_before_fetch(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    plan: &ImportPlan,
    options: &UpgradeOptions,
) -> Result<Upgraded, ChangeError> {
    let state = sysroot.load()?;
    let merge = merge_deployment(&state, options)?;
    Ok(Upgraded {
        plan: Some(UpgradePlan::before_fetch(sysroot, &state, merge, plan)?),
        ..done(image, None)
    })
}

/// What is known before the fetch, if there is space for it.
fn allowed(
    sysroot: &Sysroot,
    plan: &ImportPlan,
    options: &UpgradeOptions,
    progress: &dyn Progress,
) -> Result<Option<UpgradePlan>, PullError> {
    // Whatever cannot be told now is told when it is deployed.
    let Ok(state) = sysroot.load() else {
        return Ok(None);
    };
    let plan = merge_deployment(&state, options)
        .and_then(|merge| UpgradePlan::before_fetch(sysroot, &state, merge, plan));
    let Ok(plan) = plan else {
        return Ok(None);
    };
    let frees = || what_frees_space(sysroot, &state);
    require_space(&plan.space, progress, frees)?;
    Ok(Some(plan))
}

fn carry_out(
    locked: &Locked<'_>,
    plan: &DeployPlan,
    options: &UpgradeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), ChangeError> {
    let policy = ::image::policy_of_commit(locked.repo(), &plan.deployment.commit)?;
    let policy = policy.as_ref();
    if options.stage {
        locked.stage(plan, options.download_only, policy, progress, interrupt)?;
    } else {
        locked.apply_deploy(plan, policy, progress, interrupt)?;
    }
    Ok(())
}

/// Let what is staged and held be completed.
fn release(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    options: &UpgradeOptions,
) -> Result<Upgraded, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let state = locked.load()?;
    let staged = state.staged().map(|staged| staged.target.0.commit);
    let released = if options.dry_run {
        state.staged().is_some_and(|staged| staged.locked)
    } else {
        locked.hold_stage(false)?
    };
    let digest = staged.and_then(|commit| query_image_commit(locked.repo(), &commit).ok());
    if let Some(state) = digest.filter(|_| !options.dry_run) {
        require_reboot(&locked, &state.manifest_digest.to_string())?;
    }
    Ok(Upgraded {
        deployed: released && !options.dry_run,
        staged: true,
        ..done(image, None)
    })
}

/// Removes layers and objects that nothing needs any more; how many bytes. The update is complete: that this fails is
/// no reason to fail. Where nothing was `deployed`, whoever was stopped after a deployment may have left layers; without
/// such layers no object is looked at.
fn collect(
    locked: &Locked<'_>,
    deployed: bool,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> u64 {
    if let Err(error) = crate::prune_container_store(locked) {
        progress.note(&format!("bound images could not be removed: {error}"));
    }
    let layers = crate::image_prune_layers(locked.repo()).map_err(|error| error.to_string());
    let pruned = layers.and_then(|removed| {
        if !deployed && removed.unwrap_or_default() == 0 {
            return Ok(0);
        }
        let unreachable = PruneOptions::without_ancestors();
        let pruned = locked.repo().prune(&unreachable, progress, interrupt);
        pruned
            .map(|stats| stats.bytes)
            .map_err(|error| error.to_string())
    });
    pruned.unwrap_or_else(|error| {
        progress.note(&format!("what nothing needs could not be removed: {error}"));
        0
    })
}

/// Forgets the ref that was followed before the image.
fn forget_ref(
    locked: &Locked<'_>,
    merge: &Deployment,
    options: &UpgradeOptions,
    progress: &dyn Progress,
) {
    let refspec = merge.origin.as_ref().and_then(Origin::refspec);
    let refspec = refspec.and_then(|text| text.parse().ok());
    let Some(refspec) = refspec.filter(|_| !options.retain) else {
        return;
    };
    let forget = || -> Result<(), ostree::WriteError> {
        let transaction = locked.repo().begin(ostree::TransactionOptions::default())?;
        transaction.set_ref(refspec, ostree::Expect::Any, None);
        transaction.commit(&progress::Silent, &Interrupt::default())?;
        Ok(())
    };
    if let Err(error) = forget() {
        progress.note(&format!("the ref that was followed before stays: {error}"));
    }
}

impl Upgraded {
    /// What follows `image` already, and needs nothing.
    #[must_use]
    pub fn nothing(image: &OstreeImageReference) -> Self {
        done(image, None)
    }
}

fn done(image: &OstreeImageReference, pull: Option<Pulled>) -> Upgraded {
    Upgraded {
        schema: "bootroot.upgrade/1",
        image: image.to_string(),
        plan: None,
        pull,
        root: None,
        deployed: false,
        staged: false,
        held: false,
        change: None,
        etc: None,
        bound: None,
        collected_bytes: 0,
    }
}

/// The image that the deployment follows which would be merged from; with the tag that was asked for.
fn followed(
    sysroot: &Sysroot,
    options: &UpgradeOptions,
) -> Result<OstreeImageReference, ChangeError> {
    let state = sysroot.load()?;
    let merge = merge_deployment(&state, options)?;
    let image = image_of(merge)?.ok_or_else(|| ChangeError::NoImage(merge.id.to_string()))?;
    match &options.tag {
        None => Ok(image),
        Some(tag) => Ok(OstreeImageReference {
            imgref: retag(&image.imgref, tag)?,
            ..image
        }),
    }
}

/// The image that a deployment follows, if it follows one.
pub(crate) fn image_of(
    deployment: &Deployment,
) -> Result<Option<OstreeImageReference>, ChangeError> {
    let reference = deployment.origin.as_ref().and_then(Origin::image_reference);
    let parse = |reference: String| {
        let parsed = OstreeImageReference::from_user(&reference);
        parsed.map_err(|error| ChangeError::Reference {
            cause: error.to_string(),
            reference,
        })
    };
    reference.map(parse).transpose()
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
    commit: &Checksum,
    image: &OstreeImageReference,
) -> bool {
    let follows = |origin: Option<&Origin>| {
        origin.and_then(Origin::image_reference).as_deref() == Some(&image.to_string())
    };
    if let Some(staged) = state.staged() {
        return staged.target.0.commit == *commit;
    }
    let next = state
        .deployments
        .iter()
        .find(|deployment| deployment.id.stateroot == merge.id.stateroot);
    let next = next.unwrap_or(merge);
    next.id.commit == *commit && follows(next.origin.as_ref())
}

fn request(
    sysroot: &Sysroot,
    merge: &Deployment,
    commit: &Checksum,
    image: &OstreeImageReference,
    options: &UpgradeOptions,
) -> Result<DeployRequest, ChangeError> {
    let architecture = &options.architecture;
    let old = match image_arguments(sysroot.repo(), &merge.id.commit, architecture) {
        // What cannot be read any more has added nothing that could be told.
        Err(error) if error.class() == ErrorClass::NotFound => Vec::new(),
        other => other?,
    };
    let new = image_arguments(sysroot.repo(), commit, architecture)?;
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
    origin.follow_image(&image.to_string());
    request.origin = Some(origin);
    request.merge = MergeFrom::Deployment(merge.id.clone());
    request.kernel_args = KernelArgsEdit {
        append,
        delete,
        ..KernelArgsEdit::default()
    };
    Ok(request)
}
