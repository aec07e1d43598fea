//! `bootroot ostree admin lock-finalization`

use std::io::Write;

use clap::Args;

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Say whether shutdown may complete the staged deployment
#[derive(Debug, Args)]
pub(crate) struct LockFinalization {
    /// Unlock finalization
    #[arg(short, long)]
    unlock: bool,
}

impl LockFinalization {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let changed = system.lock(context)?.hold_stage(!self.unlock)?;
        let now = match (changed, self.unlock) {
            (true, true) => "now queued to apply on shutdown",
            (true, false) => "now finalization locked",
            (false, true) => "already prepared for finalization",
            (false, false) => "already finalization locked",
        };
        let mut out = context.results();
        writeln!(out, "Staged deployment is {now}")?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
