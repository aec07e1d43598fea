//! `bootroot ostree admin switch`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree_format::refs::Refspec;
use sysroot::{Origin, StaterootName};

use super::system::System;
use super::upgrader::{Completing, Fetching, Upgrader, set_ref};
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Follow another ref, and deploy its commit
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub(crate) struct Switch {
    /// Reboot when it is deployed
    #[arg(short, long)]
    reboot: bool,
    /// Have the new kernel take over at the next reboot, without the firmware
    #[arg(short, long)]
    kexec: bool,
    /// The stateroot to work on, if not that of the running system
    #[arg(long, alias = "stateroot", value_name = "STATEROOT")]
    os: Option<StaterootName>,
    /// REMOTE:BRANCH; REMOTE: alone keeps the branch, BRANCH alone the remote
    refspec: String,
}

/// Nothing would be switched.
#[derive(Debug, thiserror::Error)]
#[error("Old and new refs are equal: {0}")]
struct Equal(Refspec);

impl Classified for Equal {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Switch {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let mut upgrader = Upgrader::new(&locked.load()?, self.os.as_ref())?;
        let old = upgrader.refspec()?;
        let new = self.refspec(&old)?;
        if new == old {
            return Err(Equal(new).into());
        }
        upgrader.origin = Origin::from_refspec(&new.to_string());
        // The new branch need not be younger than the old one.
        let how = Fetching {
            allow_older: true,
            ..Fetching::default()
        };
        let fetched = upgrader.fetch(context, locked.repo(), how)?;
        let commit = match fetched {
            Some(commit) => commit,
            None => locked.repo().resolve(&upgrader.refspec()?.to_string())?,
        };
        let completing = Completing {
            kexec: self.kexec,
            ..Completing::default()
        };
        upgrader.deploy(context, &locked, commit, completing)?;
        let mut out = context.results();
        writeln!(out, "Deleting ref '{old}'")?;
        out.finish()?;
        set_ref(locked.repo(), &old, None)?;
        system.prune(context)?;
        if self.reboot && locked.is_running() {
            environment::reboot()?;
        }
        Ok(Exit::Done)
    }

    fn refspec(&self, old: &Refspec) -> Result<Refspec, Failure> {
        if let Some(remote) = self.refspec.strip_suffix(':') {
            return Ok(Refspec {
                remote: Some(remote.to_owned()),
                name: old.name.clone(),
            });
        }
        let new: Refspec = self.refspec.parse()?;
        Ok(Refspec {
            remote: new.remote.or_else(|| old.remote.clone()),
            name: new.name,
        })
    }
}
