//! `bootroot rollback`

use clap::Args;
use host::Selector;

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::environment;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Let the deployment before boot next, or take that back
///
/// What is staged is given up. Otherwise, when another deployment than the running one is to boot next, the
/// running one is again; and else the one before it is. A second call takes back the first. Changes that
/// were made to /etc since are those of the deployment that boots.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The deployment: its index, `booted`, `rollback`, or the digest of its image or commit, which may be
    /// cut short
    #[arg(value_name = "DEPLOYMENT")]
    deployment: Option<Selector>,
    /// Reboot into it
    #[arg(long, conflicts_with = "dry_run")]
    apply: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Rollback {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = self.change.backend(context)?;
        let options = self.change.options();
        let (wanted, progress) = (self.deployment.as_ref(), context.progress());
        let change = backend.rollback(wanted, &options, progress)?;
        let exit = self.change.report(context, &change, Event::RolledBack)?;
        if self.apply && change.changed && backend.is_running() {
            environment::reboot()?;
        }
        Ok(exit)
    }
}
