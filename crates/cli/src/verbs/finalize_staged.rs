//! `bootroot finalize-staged`

use clap::Args;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::ostree::FinalizeStaged as Finalize;

/// Complete what is staged; called when the system shuts down
// What it flattens has the same name, and with it the same group of arguments.
#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct FinalizeStaged {
    #[command(flatten)]
    finalize: Finalize,
}

impl FinalizeStaged {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        self.finalize.run(context)
    }
}
