//! `bootroot ostree admin finalize-staged`

use std::io::Write;

use clap::Args;
use sysroot::Finalized;

use super::system::System;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Complete the staged deployment; called when the system shuts down
#[derive(Debug, Args)]
pub(crate) struct FinalizeStaged {
    /// Hold /boot open until this is ended, so that it is not unmounted before
    #[arg(long)]
    hold: bool,
}

impl FinalizeStaged {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = if self.hold {
            System::open(context)?
        } else {
            System::open_writable(context)?
        };
        if !system.sysroot.is_running() {
            return Ok(Exit::Done);
        }
        if self.hold {
            return hold(context, &system);
        }
        let locked = system.lock(context)?;
        let staged = locked.load()?.staged().map(|staged| staged.target.0.commit);
        let policy = match staged {
            Some(commit) => host::policy_of_commit(locked.repo(), &commit)?,
            None => None,
        };
        let finalized = locked.finalize_staged(policy.as_ref())?;
        let mut out = context.results();
        match finalized {
            Finalized::Nothing => writeln!(out, "No deployment staged for finalization")?,
            Finalized::Locked(id) => writeln!(out, "Not finalizing; {id} is locked")?,
            Finalized::Done(id) => {
                let message = format!("Finalized deployment {id}");
                let fields = [("BOOTROOT_DEPLOYMENT", &*id.to_string())];
                context.journal().tell(Event::Finalized, &message, &fields);
                writeln!(out, "{message}")?;
            }
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// Until the service manager says that the time has come.
fn hold(context: &Context, system: &System) -> Result<Exit, Failure> {
    let _boot = crate::place::open_dir("/boot", &system.path()?.join("boot"))?;
    while context.interrupt().check().is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    Ok(Exit::Done)
}
