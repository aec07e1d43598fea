//! `bootroot ostree admin boot-complete`

use clap::Args;
use error_class::{Classified, ErrorClass};

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Report what went wrong when the system was shut down; called when it has booted
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
        match system.lock(context)?.take_failure()? {
            Some(cause) => Err(Failure::from(NotFinalized(cause))
                .with_hint("the deployment before is running; stage the update again")),
            None => Ok(Exit::Done),
        }
    }
}
