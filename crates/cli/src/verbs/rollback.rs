//! `bootroot rollback`

use clap::Args;
use host::Selector;

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};
use crate::soft_reboot::{self, SoftReboot};

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
    /// Let it be what a soft reboot changes to, which leaves the kernel as it runs; with --apply, reboot so
    #[arg(long, value_name = "HOW", conflicts_with = "dry_run")]
    soft_reboot: Option<SoftReboot>,
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
        if change.changed && backend.is_running() {
            soft_reboot::after_change(context, self.soft_reboot, self.apply)?;
        }
        Ok(exit)
    }
}
