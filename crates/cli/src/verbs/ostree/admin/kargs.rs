//! `bootroot ostree admin kargs`

use boot_format::KernelArgs;
use clap::{Args, Subcommand};
use sysroot::Deployment;

use super::system::System;
use super::{AdminError, answer};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Change kernel arguments
#[derive(Debug, Subcommand)]
pub(crate) enum Kargs {
    EditInPlace(EditInPlace),
}

/// Change the kernel arguments of all deployments
#[derive(Debug, Args)]
pub(crate) struct EditInPlace {
    /// Append a kernel argument where there is none with its name
    #[arg(long, value_name = "NAME=VALUE", allow_hyphen_values = true)]
    append_if_missing: Vec<String>,
    /// Accepted, but not used
    #[arg(hide = true)]
    ignored: Vec<String>,
}

impl Kargs {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::EditInPlace(verb) => verb.run(context),
        }
    }
}

impl EditInPlace {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let state = locked.load()?;
        if state.deployments.is_empty() {
            return Err(AdminError::NoDeployment.into());
        }
        let edit = |deployment: &Deployment| Some(self.edited(deployment));
        let plan = locked.plan_all_kernel_args(&state, &edit)?;
        locked.apply_list(&plan, None, context.progress())?;
        answer::transaction(context, &plan.boot, state.deployments.len())?;
        Ok(Exit::Done)
    }

    fn edited(&self, deployment: &Deployment) -> KernelArgs {
        let mut args = deployment.kernel_args();
        for arg in &self.append_if_missing {
            args.append_if_missing(arg);
        }
        args
    }
}
