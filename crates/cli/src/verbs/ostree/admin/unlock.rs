//! `bootroot ostree admin unlock`

use std::io::Write;
use std::path::Path;

use clap::Args;
use error_class::{Classified, ErrorClass};
use sysroot::{UnlockFor, UsrOverlay};

use super::system::System;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};
use crate::private_mounts;

/// Make /usr of the running system writable, until it is booted again
#[derive(Debug, Args)]
pub(crate) struct Unlock {
    /// Keep what is written at later boots, and a locked copy of the deployment to go back to
    #[arg(long)]
    hotfix: bool,
    /// Mount the overlay read-only: only who remounts it in a mount namespace of its own can write
    #[arg(long)]
    transient: bool,
}

/// Options that exclude each other.
#[derive(Debug, thiserror::Error)]
#[error("Cannot specify both --hotfix and --transient")]
struct Both;

impl Classified for Both {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Unlock {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let (unlock, said) = match (self.hotfix, self.transient) {
            (true, true) => return Err(Both.into()),
            (true, false) => (
                UnlockFor::Hotfix,
                "Hotfix mode enabled: /usr is writable, and what is written stays.\n\
                 A copy without it is deployed behind this one, to roll back to.",
            ),
            (false, true) => (
                UnlockFor::Transient,
                "An overlay is mounted on /usr, read-only until it is remounted.\n\
                 What is written is discarded at the next boot.",
            ),
            (false, false) => (
                UnlockFor::Development,
                "Development mode enabled: /usr is writable.\n\
                 What is written is discarded at the next boot.",
            ),
        };
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let unlocked = host::unlock_usr(&locked, unlock, &mount_usr, progress, interrupt)?;
        tell_unlocked(context, &unlocked);
        let mut out = context.results();
        writeln!(out, "{said}")?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// Mounts an overlay on `/usr` of the running system. Its options are relative to the root of a deployment.
pub(crate) fn mount_usr(overlay: &UsrOverlay) -> std::io::Result<()> {
    rustix::process::fchdir(&overlay.root)?;
    private_mounts::mount_overlay(Path::new("/usr"), &overlay.options, overlay.read_only)
}

/// Tells the journal.
pub(crate) fn tell_unlocked(context: &Context, deployment: &str) {
    let message = format!("/usr of {deployment} is writable");
    context.journal().tell(Event::Unlocked, &message, &[]);
}
