//! `bootroot ostree admin boot-complete`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Report what went wrong when the system was shut down; called when it has booted
///
/// What was staged and not completed, because completing it failed or the power went, is staged again.
#[derive(Debug, Args)]
pub(crate) struct BootComplete {}

/// The stage was not completed.
#[derive(Debug, thiserror::Error)]
#[error("completing the staged deployment failed at the last shutdown: {0}")]
struct NotFinalized(String);

impl Classified for NotFinalized {
    fn class(&self) -> ErrorClass {
        ErrorClass::Io
    }
}

impl BootComplete {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        if !system.sysroot.is_running() {
            return Ok(Exit::Done);
        }
        let locked = system.lock(context)?;
        locked.complete_soft_reboot()?;
        let resumed = locked.resume_stage()?;
        if let Some(id) = &resumed {
            let mut out = context.results();
            writeln!(
                out,
                "No shutdown has completed deployment {id}: staged again"
            )?;
            out.finish()?;
        }
        let hint = match &resumed {
            Some(_) => "it is staged again; `bootroot rollback` gives it up",
            None => "the deployment before is running; stage the update again",
        };
        match locked.take_failure()? {
            Some(cause) => Err(Failure::from(NotFinalized(cause)).with_hint(hint)),
            None => Ok(Exit::Done),
        }
    }
}
