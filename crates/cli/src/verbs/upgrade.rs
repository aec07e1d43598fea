//! `bootroot upgrade`

use clap::Args;

use super::following::{self, FollowArgs};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Fetch what is newer of the image that is followed, and deploy it
///
/// On the running system it is staged: what is left is done when the system shuts down. With --sysroot, it
/// boots first from now on.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// Only find out whether there is something newer: exit code 77 if so, 0 if not
    #[arg(long, conflicts_with_all = ["download_only", "dry_run", "apply"])]
    check: bool,
    #[command(flatten)]
    follow: FollowArgs,
}

impl Upgrade {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let sysroot = self.follow.sysroot(context)?;
        let options = self.follow.options(&sysroot);
        let access = self.follow.source.access()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        if self.check {
            let check = host::check_upgrade(&sysroot, &access, &options, progress, interrupt)?;
            return following::report_check(context, &check, self.follow.format);
        }
        let upgraded = host::upgrade(&sysroot, &access, &options, progress, interrupt)?;
        self.follow.finish(context, &sysroot, &upgraded)
    }
}
