//! Soft reboots: services start anew from another deployment, and the kernel runs on.

use clap::ValueEnum;
use error_class::{Classified, ErrorClass};
use host::Selector;
use sysroot::{DeploymentId, Locked};

use crate::context::Context;
use crate::environment;
use crate::journal::Event;
use crate::outcome::Failure;
use crate::verbs::ChangeArgs;

/// Says in place of the configuration how a root is mounted.
const COMPOSEFS: &str = "ostree.prepare-root.composefs";

/// Whether the kernel has to start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SoftReboot {
    /// Fail when it has to
    Required,
    /// Prepare a soft reboot where that is possible
    Auto,
}

/// A soft reboot was required, and is not possible.
#[derive(Debug, thiserror::Error)]
#[error(
    "no soft reboot: what boots next has another kernel, other kernel arguments or another SELinux policy, or this \
     system cannot reboot softly"
)]
struct NotPossible;

impl Classified for NotPossible {
    fn class(&self) -> ErrorClass {
        ErrorClass::Unsupported
    }
}

/// Prepares a soft reboot into a deployment, as the real program does: whether it can be mounted decides.
pub(crate) fn prepare(
    context: &Context,
    locked: &Locked<'_>,
    id: &DeploymentId,
) -> Result<(), Failure> {
    let arguments = environment::running_kernel_args()?;
    let composefs = arguments.last_value(COMPOSEFS).map(str::to_owned);
    let policy = host::policy_of_commit(locked.repo(), &id.commit)?;
    let (progress, interrupt) = (context.progress(), context.interrupt());
    let (composefs, policy) = (composefs.as_deref(), policy.as_ref());
    locked.prepare_soft_reboot(id, composefs, policy, progress, interrupt)?;
    let message = format!("A soft reboot changes to {id}");
    let deployment = id.to_string();
    let fields = [("BOOTROOT_DEPLOYMENT", &*deployment)];
    context.journal().tell(Event::SoftReboot, &message, &fields);
    Ok(())
}

/// After a change of what boots next: prepares a soft reboot into it, when that is wanted, and reboots, when that is.
pub(crate) fn after_change(
    context: &Context,
    how: Option<SoftReboot>,
    reboot: bool,
) -> Result<(), Failure> {
    let softly = match how {
        Some(how) => prepare_first(context, how)?,
        None => false,
    };
    match (reboot, softly) {
        (true, true) => environment::soft_reboot()?,
        (true, false) => environment::reboot()?,
        (false, _) => {}
    }
    Ok(())
}

/// Prepares a soft reboot into what boots first; whether it is prepared.
fn prepare_first(context: &Context, how: SoftReboot) -> Result<bool, Failure> {
    let status = context
        .place()
        .backend()?
        .status(context.place().running_facts())?;
    let first = status.deployments.first();
    let capable = first.is_some_and(|first| first.soft_reboot_capable && !first.booted);
    match (how, capable) {
        (SoftReboot::Required, false) => return Err(NotPossible.into()),
        (SoftReboot::Auto, false) => return Ok(false),
        (_, true) => {}
    }
    let sysroot = context.storage()?.sysroot()?;
    let locked = sysroot.lock(ChangeArgs::LOCK_PATIENCE)?;
    let id = Selector::Index(0).id(&sysroot, &locked.status()?)?;
    match prepare(context, &locked, &id) {
        Ok(()) => Ok(true),
        Err(failure) if how == SoftReboot::Required => Err(failure),
        Err(failure) => {
            let why = format!("no soft reboot into {id}: {failure}");
            context.progress().note(&why);
            Ok(false)
        }
    }
}
