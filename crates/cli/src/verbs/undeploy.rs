//! `bootroot undeploy`

use clap::Args;
use host::Selector;

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Remove a deployment, or give up what is staged
///
/// Its image stays until it is removed (`bootroot image remove`).
#[derive(Debug, Args)]
pub(crate) struct Undeploy {
    /// The deployment: its index, `pending`, `rollback`, or the digest of its image or commit, which may be
    /// cut short
    #[arg(value_name = "DEPLOYMENT", required_unless_present = "all")]
    deployment: Option<Selector>,
    /// Remove all, so that nothing boots any more; not on a running system
    #[arg(long, conflicts_with = "deployment")]
    all: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Undeploy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = self.change.backend(context)?;
        let options = self.change.options();
        let progress = context.progress();
        let change = match &self.deployment {
            Some(deployment) => backend.undeploy(deployment, &options, progress)?,
            None => backend.undeploy_all(&options, progress)?,
        };
        self.change.report(context, &change, Event::Changed)
    }
}
