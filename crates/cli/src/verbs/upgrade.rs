//! `bootroot upgrade`

use clap::Args;
use host::Job;

use super::following::{self, FollowArgs};
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Fetch what is newer of the image that is followed, and deploy it
///
/// On the running system it is staged: what is left is done when the system shuts down. With --sysroot, it
/// boots first from now on.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// Only find out whether there is something newer: exit code 77 if so, 0 if not
    #[arg(long, conflicts_with_all = ["download_only", "dry_run", "apply", "from_downloaded"])]
    check: bool,
    /// Ask no registry: let what was fetched with --download-only boot
    #[arg(long, conflicts_with = "download_only")]
    from_downloaded: bool,
    /// Follow another tag of the same image from now on
    #[arg(long, value_name = "TAG", conflicts_with = "from_downloaded")]
    tag: Option<String>,
    #[command(flatten)]
    follow: FollowArgs,
}

impl Upgrade {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = self.follow.backend(context)?;
        let mut options = self.follow.options(backend.is_running());
        options.from_downloaded = self.from_downloaded;
        options.tag.clone_from(&self.tag);
        let access = self.follow.source.access_at(context.place())?;
        let job = Job {
            access: &access,
            options: &options,
            progress: context.progress(),
            interrupt: context.interrupt(),
        };
        if self.check {
            let check = backend.check_upgrade(&job)?;
            return following::report_check(context, &check, self.follow.format);
        }
        let upgraded = backend.upgrade(&job)?;
        let event = Event::Upgraded;
        self.follow
            .finish(context, backend.is_running(), &upgraded, event)
    }
}
