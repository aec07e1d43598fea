//! `bootroot pin` and `bootroot unpin`

use std::io::Write;

use clap::Args;
use host::{Pinned, Selector};

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Keep a deployment: no other drives it out
#[derive(Debug, Args)]
pub(crate) struct Pin {
    #[command(flatten)]
    which: Which,
}

/// No longer keep a deployment
#[derive(Debug, Args)]
pub(crate) struct Unpin {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// The deployment: its index, `booted`, `rollback`, or the digest of its image or commit, which may be
    /// cut short
    #[arg(value_name = "DEPLOYMENT")]
    deployment: Selector,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Pin {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        self.which.run(context, true)
    }
}

impl Unpin {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        self.which.run(context, false)
    }
}

impl Which {
    fn run(self, context: &Context, pinned: bool) -> Result<Exit, Failure> {
        let backend = self.change.backend(context)?;
        let options = self.change.options();
        let pinned = backend.pin(&self.deployment, pinned, &options)?;
        self.report(context, &pinned)
    }

    fn report(&self, context: &Context, pinned: &Pinned) -> Result<Exit, Failure> {
        let mut out = context.results();
        if self.change.format.json {
            out.json(pinned)?;
            return Ok(Exit::Done);
        }
        let how = match (pinned.changed, self.change.dry_run) {
            (false, _) => "is already",
            (true, true) => "would be",
            (true, false) => "is now",
        };
        let what = if pinned.pinned { "pinned" } else { "unpinned" };
        writeln!(out, "{}: {how} {what}", pinned.deployment)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
