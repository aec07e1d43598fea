//! Changes of which deployments there are and what boots: planned first, then made.

use std::time::Duration;

use composefs_root::{MenuPlan, RootEntry, RootPlan};
use error_class::{Classified, ErrorClass};
use ostree::PruneError;
use progress::Progress;
use serde::Serialize;
use sysroot::{
    BootPlan, CleanupError, DeployError, ListError, ListPlan, LoadError, Locked, Sysroot,
    SysrootLockError,
};

use crate::reboot_required::require_no_reboot;
use crate::{PullError, Selector};

/// The form of a change that is told.
const SCHEMA: &str = "bootroot.change/1";

/// Choices of a change.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChangeOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// How long to wait for others that work on the system.
    pub lock_timeout: Duration,
}

impl Default for ChangeOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            lock_timeout: Duration::from_secs(60),
        }
    }
}

/// What a change does, or has done (`docs/change.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    schema: &'static str,
    /// Whether it was made, or only planned.
    pub made: bool,
    /// Whether anything is other than before.
    pub changed: bool,
    /// The deployments that boot afterwards, in order.
    pub boots: Vec<BootedEntry>,
    /// Deployments that no longer boot and are removed, as `STATEROOT COMMIT.SERIAL`.
    pub removed: Vec<String>,
    /// A stage that is given up, in the same form.
    pub discarded_stage: Option<String>,
}

/// A deployment that boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootedEntry {
    /// Its name, as `STATEROOT COMMIT.SERIAL`.
    pub deployment: String,
    /// How the boot loader calls it.
    pub title: String,
    /// Its kernel arguments.
    pub kernel_arguments: Vec<String>,
}

/// Why a change was not made. What boots is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Nothing goes by that name.
    #[error("there is no {0}")]
    NotFound(Selector),
    /// It is completed when the system shuts down.
    #[error("{0} is staged: that can be done when it has become one of those that boot")]
    Staged(Selector),
    /// There is no other deployment.
    #[error("there is no deployment to roll back to")]
    NoRollback,
    /// It follows no image.
    #[error("deployment {0} follows no container image")]
    NoImage(String),
    /// What it follows cannot be understood.
    #[error("the image {reference:?} that is followed cannot be understood: {cause}")]
    Reference {
        /// The reference.
        reference: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Kernel arguments cannot be changed so.
    #[error(transparent)]
    KernelArgs(#[from] boot_format::KernelArgError),
    /// Kernel arguments of an image cannot be understood.
    #[error(transparent)]
    ImageArgs(#[from] crate::ImageArgsError),
    /// Somebody else is at work on the system.
    #[error(transparent)]
    Lock(#[from] SysrootLockError),
    /// What is deployed cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The list of deployments cannot be changed.
    #[error(transparent)]
    List(#[from] ListError),
    /// A deployment cannot be made.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// What is left over cannot be removed.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// Objects cannot be removed.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// The image cannot be pulled.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The image's SELinux policy cannot be used.
    #[error(transparent)]
    Policy(#[from] ::image::PolicyError),
    /// A commit cannot be read.
    #[error(transparent)]
    Read(#[from] ostree::ReadError),
    /// A stored image cannot be described.
    #[error(transparent)]
    Query(#[from] Box<::image::QueryError>),
    /// It is not known which layers are needed.
    #[error(transparent)]
    Layers(#[from] Box<::image::ImportError>),
    /// There is no such tag.
    #[error(transparent)]
    Retag(#[from] crate::RetagError),
    /// The bases of derived commits cannot be kept.
    #[error(transparent)]
    Derived(#[from] crate::DerivedError),
    /// Images that the system binds are not there.
    #[error(transparent)]
    Bound(#[from] Box<crate::BoundError>),
    /// Nothing is deployed.
    #[error("there is no deployment whose /etc could be looked at")]
    NothingDeployed,
    /// There is no such stateroot.
    #[error("there is no stateroot {0}: `bootroot status` shows those that there are")]
    NoStateroot(sysroot::StaterootName),
    /// It has the running deployment.
    #[error("the stateroot {0} is the one that runs")]
    StaterootRuns(sysroot::StaterootName),
    /// It has deployments, which nobody said are to go.
    #[error(
        "the stateroot {0} has deployments: undeploy them, or remove it with --with-deployments"
    )]
    StaterootDeployed(sysroot::StaterootName),
    /// Without it nothing boots any more.
    #[error(
        "without the stateroot {0} nothing would boot any more: deploy something else first, or use `bootroot undeploy --all`"
    )]
    NothingWouldBoot(sysroot::StaterootName),
    /// There is a stateroot of that name.
    #[error("the stateroot {0} is there already: name another one")]
    StaterootThere(sysroot::StaterootName),
    /// A directory that is no stateroot.
    #[error("{0:?} in state/os cannot be the name of a stateroot")]
    BadStateroot(String),
    /// The stateroot is there already.
    #[error(transparent)]
    Stateroot(#[from] sysroot::StaterootError),
    /// Roots that are images of composefs cannot be read or changed.
    #[error(transparent)]
    Roots(#[from] composefs_root::RootError),
    /// The image cannot be pulled into the composefs repository.
    #[error(transparent)]
    ComposefsPull(#[from] crate::ComposefsPullError),
    /// An image in the composefs repository cannot be read.
    #[error(transparent)]
    StoredImage(#[from] composefs_image::ImageError),
    /// The composefs repository cannot be used.
    #[error(transparent)]
    Store(#[from] composefs::StoreError),
    /// The image is not made for booting.
    #[error(
        "image {0} is not bootable: it has neither the label containers.bootc nor ostree.bootable"
    )]
    NotBootable(Box<oci::reference::OstreeImageReference>),
    /// That is not done where roots are images of composefs.
    #[error("{0} is not possible where the root is an image of composefs")]
    NotForImages(&'static str),
    /// The running system cannot be unlocked.
    #[error(transparent)]
    Unlock(#[from] sysroot::UnlockError),
    /// The overlay cannot be mounted.
    #[error("cannot mount an overlay on /usr with {options}")]
    Overlay {
        /// Its options.
        options: String,
        /// Why.
        source: std::io::Error,
    },
    /// No soft reboot can be prepared.
    #[error(transparent)]
    NextRoot(#[from] Box<sysroot::NextRootError>),
    /// Something cannot be mounted.
    #[error(transparent)]
    Mount(#[from] composefs_root::MountError),
    /// The composefs repository cannot be cleaned up.
    #[error(transparent)]
    ComposefsPrune(#[from] crate::ComposefsPruneError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for ChangeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) | Self::NoRollback | Self::NoStateroot(_) | Self::NothingDeployed => {
                ErrorClass::NotFound
            }
            Self::StaterootRuns(_) | Self::StaterootDeployed(_) | Self::NothingWouldBoot(_) => {
                ErrorClass::InvalidInput
            }
            Self::Bound(error) => error.class(),
            Self::Staged(_) | Self::NoImage(_) | Self::StaterootThere(_) => {
                ErrorClass::InvalidInput
            }
            Self::BadStateroot(_) => ErrorClass::Corrupt,
            Self::Reference { .. } => ErrorClass::Corrupt,
            Self::KernelArgs(error) => error.class(),
            Self::ImageArgs(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Load(error) => error.class(),
            Self::List(error) => error.class(),
            Self::Deploy(error) => error.class(),
            Self::Cleanup(error) => error.class(),
            Self::Prune(error) => error.class(),
            Self::Pull(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Query(error) => error.class(),
            Self::Layers(error) => error.class(),
            Self::Retag(error) => error.class(),
            Self::Derived(error) => error.class(),
            Self::Stateroot(error) => error.class(),
            Self::Roots(error) => error.class(),
            Self::ComposefsPull(error) => error.class(),
            Self::StoredImage(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::NotBootable(_) => ErrorClass::InvalidInput,
            Self::NotForImages(_) => ErrorClass::Unsupported,
            Self::Unlock(error) => error.class(),
            Self::NextRoot(error) => error.class(),
            Self::Mount(error) => error.class(),
            Self::ComposefsPrune(error) => error.class(),
            Self::Overlay { source, .. } => source.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Change {
    /// That of which roots boot.
    pub(crate) fn of_roots(plan: &MenuPlan, made: bool) -> Self {
        Self {
            schema: SCHEMA,
            made,
            changed: plan.changed,
            boots: plan.menu.iter().filter_map(of_root).collect(),
            removed: plan.removed.clone(),
            discarded_stage: plan.gives_up.map(|id| id.to_string()),
        }
    }

    /// That of a root that is deployed.
    pub(crate) fn of_new_root(plan: &RootPlan, made: bool) -> Self {
        Self {
            schema: SCHEMA,
            made,
            changed: true,
            boots: plan.menu.iter().filter_map(of_root).collect(),
            removed: plan.removed.clone(),
            discarded_stage: None,
        }
    }
}

/// The entry of a root, when it is one.
fn of_root(entry: &RootEntry) -> Option<BootedEntry> {
    Some(BootedEntry {
        deployment: entry.id()?.to_string(),
        title: entry.title().unwrap_or_default().to_owned(),
        kernel_arguments: entry.own_args().to_strings(),
    })
}

/// Make the change that was planned, unless it is only to be told.
pub(crate) fn apply(
    locked: &Locked<'_>,
    plan: &ListPlan,
    options: &ChangeOptions,
    progress: &dyn Progress,
) -> Result<Change, ChangeError> {
    if !options.dry_run {
        locked.apply_list(plan, None, progress)?;
    }
    Ok(describe(&plan.boot, &plan.dropped, !options.dry_run))
}

pub(crate) fn describe(boot: &BootPlan, dropped: &[sysroot::DeploymentId], made: bool) -> Change {
    let entry = |planned: &sysroot::PlannedEntry| BootedEntry {
        deployment: planned.deployment.to_string(),
        title: planned.entry.get("title").unwrap_or_default().to_owned(),
        kernel_arguments: planned.entry.kernel_args().without_ostree().to_strings(),
    };
    Change {
        schema: SCHEMA,
        made,
        changed: boot.switch != sysroot::BootSwitch::Nothing,
        boots: boot.entries.iter().map(entry).collect(),
        removed: dropped.iter().map(ToString::to_string).collect(),
        discarded_stage: None,
    }
}

/// Give up what is staged: everything else stays as it is.
pub(crate) fn discard_stage(
    sysroot: &Sysroot,
    locked: &Locked<'_>,
    stage: String,
    options: &ChangeOptions,
) -> Result<Change, ChangeError> {
    let state = locked.load()?;
    if !options.dry_run {
        locked.discard_stage()?;
        require_no_reboot(locked)?;
    }
    let boot = sysroot.plan_all_kernel_args(&state, &|_| None)?.boot;
    Ok(Change {
        changed: true,
        discarded_stage: Some(stage),
        ..describe(&boot, &[], !options.dry_run)
    })
}
