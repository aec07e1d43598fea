//! `bootroot ostree admin set-default`

use clap::Args;
use error_class::{Classified, ErrorClass};
use sysroot::Listed;

use super::system::System;
use super::{answer, selection};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Make deployment INDEX the one that boots by default
#[derive(Debug, Args)]
pub(crate) struct SetDefault {
    /// The index of the deployment, as `status` lists them
    index: String,
}

/// What is staged boots next anyhow, once it is completed.
#[derive(Debug, thiserror::Error)]
#[error("deployment {0} is staged: it becomes the default when the system shuts down")]
struct IsStaged(usize);

impl Classified for IsStaged {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl SetDefault {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let index = selection::index(&self.index)?;
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let state = locked.load()?;
        let Listed::Deployed(deployment) = selection::at(&state, index)? else {
            return Err(IsStaged(index).into());
        };
        let plan = locked.plan_set_default(&state, &deployment.id)?;
        locked.apply_list(&plan, None, context.progress())?;
        answer::transaction(context, &plan.boot, state.deployments.len())?;
        system.prune(context)?;
        Ok(Exit::Done)
    }
}
