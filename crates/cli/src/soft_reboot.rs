//! Soft reboots: services start anew from another deployment, and the kernel runs on.

use clap::ValueEnum;
use error_class::{Classified, ErrorClass};
use host::{Backend, Selector};

use crate::context::Context;
use crate::environment;
use crate::journal::Event;
use crate::outcome::Failure;

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
#[error("no soft reboot: {0}")]
struct NotPossible(String);

/// Where nothing more is known.
const ANY_REASON: &str = "what boots next has another kernel, other kernel arguments or another SELinux policy, or this \
                          system cannot reboot softly";

impl Classified for NotPossible {
    fn class(&self) -> ErrorClass {
        ErrorClass::Unsupported
    }
}

/// Prepares a soft reboot into a deployment; which that is.
pub(crate) fn prepare(
    context: &Context,
    backend: &dyn Backend,
    which: &Selector,
) -> Result<String, Failure> {
    let arguments = environment::running_kernel_args()?;
    let (progress, interrupt) = (context.progress(), context.interrupt());
    let deployment = backend.prepare_soft_reboot(which, &arguments, progress, interrupt)?;
    tell(context, &deployment);
    Ok(deployment)
}

/// Tells the journal.
pub(crate) fn tell(context: &Context, deployment: &str) {
    let message = format!("A soft reboot changes to {deployment}");
    let fields = [("BOOTROOT_DEPLOYMENT", deployment)];
    context.journal().tell(Event::SoftReboot, &message, &fields);
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
    let backend = context.place().backend()?;
    let status = backend.status(context.place().running_facts())?;
    match (how, status.soft_reboot_obstacle()) {
        (SoftReboot::Required, Some("")) => return Err(NotPossible(ANY_REASON.to_owned()).into()),
        (SoftReboot::Required, Some(why)) => return Err(NotPossible(why.to_owned()).into()),
        (SoftReboot::Auto, Some(_)) => return Ok(false),
        (_, None) => {}
    }
    match prepare(context, &*backend, &Selector::Index(0)) {
        Ok(_) => Ok(true),
        Err(failure) if how == SoftReboot::Required => Err(failure),
        Err(failure) => {
            let why = format!("no soft reboot into what boots next: {failure}");
            context.progress().note(&why);
            Ok(false)
        }
    }
}
