//! `bootroot ostree admin cleanup`

use clap::Args;

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Remove what no deployment and no ref needs any more
#[derive(Debug, Args)]
pub(crate) struct Cleanup {}

impl Cleanup {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        locked.cleanup()?;
        system.prune(context)?;
        Ok(Exit::Done)
    }
}
