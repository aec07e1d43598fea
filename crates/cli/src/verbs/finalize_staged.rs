//! `bootroot finalize-staged`

use std::io::Write;

use clap::Args;
use host::Completed;

use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Complete the staged deployment; called when the system shuts down
#[derive(Debug, Args)]
pub(crate) struct FinalizeStaged {}

impl FinalizeStaged {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.place().make_writable()?;
        let completed = context.place().backend()?.finalize()?;
        let mut out = context.results();
        match completed {
            Completed::Nothing => writeln!(out, "No deployment staged for finalization")?,
            Completed::Held(id) => writeln!(out, "Not finalizing; {id} is locked")?,
            Completed::Done(id) => {
                let message = format!("Finalized deployment {id}");
                let fields = [("BOOTROOT_DEPLOYMENT", &*id)];
                context.journal().tell(Event::Finalized, &message, &fields);
                writeln!(out, "{message}")?;
            }
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}
