//! `bootroot usr-overlay`

use std::io::Write;

use clap::Args;
use sysroot::UnlockFor;

use super::ostree::{mount_usr, tell_unlocked};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Make /usr of the running system writable until the next boot
///
/// What is written there is laid over the image and gone with the next boot; `bootroot status` shows it. With
/// --hotfix it stays for as long as this deployment, and a copy without it is deployed behind, to roll back to.
#[derive(Debug, Args)]
pub(crate) struct UsrOverlay {
    /// Mount the overlay read-only: only who remounts it in a mount namespace of its own can write
    #[arg(long, conflicts_with = "hotfix")]
    read_only: bool,
    /// Keep what is written at later boots
    #[arg(long)]
    hotfix: bool,
}

impl UsrOverlay {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.place().make_writable()?;
        let (unlock, said) = match (self.hotfix, self.read_only) {
            (true, _) => (
                UnlockFor::Hotfix,
                "/usr is writable, and what is written stays",
            ),
            (false, true) => (
                UnlockFor::Transient,
                "an overlay is mounted on /usr, read-only",
            ),
            (false, false) => (
                UnlockFor::Development,
                "/usr is writable until the next boot",
            ),
        };
        let backend = context.place().backend()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let unlocked = backend.unlock_usr(unlock, &mount_usr, progress, interrupt)?;
        tell_unlocked(context, &unlocked);
        let mut out = context.results();
        writeln!(out, "{said}")?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
