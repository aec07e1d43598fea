//! `bootroot ostree admin undeploy`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use sysroot::Listed;

use super::system::System;
use super::{answer, selection};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Delete deployment INDEX
#[derive(Debug, Args)]
pub(crate) struct Undeploy {
    /// The index of the deployment, as `status` lists them
    index: String,
}

/// It runs.
#[derive(Debug, thiserror::Error)]
#[error("Cannot undeploy currently booted deployment {0}")]
struct IsBooted(usize);

impl Classified for IsBooted {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Undeploy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let index = selection::index(&self.index)?;
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let state = locked.load()?;
        let target = selection::at(&state, index)?;
        let id = target.id().clone();
        match target {
            Listed::Staged(_) => {
                locked.discard_stage()?;
            }
            Listed::Deployed(deployment) if state.booted() == Some(deployment) => {
                return Err(IsBooted(index).into());
            }
            Listed::Deployed(_) => {
                let plan = locked.plan_undeploy(&state, &id)?;
                locked.apply_list(&plan, None, context.progress())?;
                answer::transaction(context, &plan.boot, state.deployments.len())?;
            }
        }
        let mut out = context.results();
        writeln!(out, "Deleted deployment {}", id.directory())?;
        out.finish()?;
        system.prune(context)?;
        Ok(Exit::Done)
    }
}
