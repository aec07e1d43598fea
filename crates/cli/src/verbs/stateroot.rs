//! `bootroot stateroot`

use std::io::Write;

use clap::{Args, Subcommand};
use sysroot::StaterootName;

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Work on groups of deployments that share one /var
#[derive(Debug, Subcommand)]
pub(crate) enum Stateroot {
    Remove(Remove),
}

/// Remove a stateroot that has no deployments any more, with everything in its /var
///
/// That is what `bootroot reset` leaves behind, once the old deployments are undeployed. Images stay until they are
/// removed.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The stateroot
    name: StaterootName,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Stateroot {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Remove(verb) => verb.run(context),
        }
    }
}

impl Remove {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let sysroot = self.change.sysroot(context)?;
        let done = host::remove_stateroot(&sysroot, &self.name, &self.change.options())?;
        let tense = if done.made {
            "removed"
        } else {
            "to be removed"
        };
        let message = format!("{tense}: stateroot {}, with its /var", done.stateroot);
        if done.made {
            let fields = [("BOOTROOT_STATEROOT", done.stateroot.as_str())];
            context.journal().tell(Event::Changed, &message, &fields);
        }
        let mut out = context.results();
        if self.change.format.json {
            out.json(&done)?;
            return Ok(Exit::Done);
        }
        writeln!(out, "{message}")?;
        Ok(out.finish().map(|()| Exit::Done)?)
    }
}
