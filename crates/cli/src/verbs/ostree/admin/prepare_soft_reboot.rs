//! `bootroot ostree admin prepare-soft-reboot`

use clap::Args;
use error_class::{Classified, ErrorClass};

use super::selection;
use super::system::System;
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::soft_reboot;

/// Mount the root of a deployment at /run/nextroot, where `systemctl soft-reboot` changes to it
///
/// It must have the kernel and the arguments that are running, and its root must be an image of composefs.
#[derive(Debug, Args)]
pub(crate) struct PrepareSoftReboot {
    /// The index of the deployment
    #[arg(value_name = "INDEX")]
    index: Option<String>,
    /// Reboot softly when it is prepared
    #[arg(long)]
    reboot: bool,
    /// Take back what was prepared
    #[arg(long)]
    reset: bool,
}

/// No deployment was named.
#[derive(Debug, thiserror::Error)]
#[error("INDEX must be specified")]
struct NoIndex;

impl Classified for NoIndex {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl PrepareSoftReboot {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        if self.reset {
            locked.clear_soft_reboot()?;
            return Ok(Exit::Done);
        }
        let index = selection::index(&self.index.ok_or(NoIndex)?)?;
        let state = locked.load()?;
        let id = selection::at(&state, index)?.id().clone();
        let arguments = environment::running_kernel_args()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        host::prepare_soft_reboot(&locked, &id, &arguments, progress, interrupt)?;
        soft_reboot::tell(context, &id.to_string());
        if self.reboot {
            environment::soft_reboot()?;
        }
        Ok(Exit::Done)
    }
}
