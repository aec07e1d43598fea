//! `bootroot undeploy`

use clap::Args;
use host::Selector;

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Remove a deployment, or give up what is staged
///
/// Its image stays until it is removed (`bootroot image remove`).
#[derive(Debug, Args)]
pub(crate) struct Undeploy {
    /// The deployment: its index, `pending`, `rollback`, or the digest of its image or commit, which may be
    /// cut short
    #[arg(value_name = "DEPLOYMENT")]
    deployment: Selector,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Undeploy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let sysroot = self.change.sysroot(context)?;
        let options = self.change.options();
        let change = host::undeploy(&sysroot, &self.deployment, &options, context.progress())?;
        self.change.report(context, &change)
    }
}
