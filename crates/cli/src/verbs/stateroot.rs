//! `bootroot stateroot`

use std::io::Write;

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use sysroot::StaterootName;

use super::changes::{self, ChangeArgs};
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Work on stateroots, each of which has deployments and one /var for all of them
#[derive(Debug, Subcommand)]
pub(crate) enum Stateroot {
    Remove(Remove),
}

impl Stateroot {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Remove(verb) => verb.run(context),
        }
    }
}

/// Remove a stateroot and its /var: what `bootroot reset` has left behind
///
/// Refused is the one that runs, and the last one with something to boot. Images stay until they are removed
/// (`bootroot image remove`).
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The stateroot, as `bootroot status` shows it
    #[arg(value_name = "NAME")]
    stateroot: StaterootName,
    /// Remove its deployments, too, which otherwise are a reason to refuse
    #[arg(long)]
    with_deployments: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = self.change.backend(context)?;
        let options = self.change.options();
        let removed = backend.remove_stateroot(
            &self.stateroot,
            self.with_deployments,
            &options,
            context.progress(),
            context.interrupt(),
        )?;
        if removed.made {
            let message = format!("Removed the stateroot {}", self.stateroot);
            context.journal().tell(Event::Changed, &message, &[]);
        }
        let mut out = context.results();
        if self.change.format.json {
            out.json(&removed)?;
            return Ok(Exit::Done);
        }
        let how = match removed.made {
            true => "removed",
            false => "to be removed",
        };
        let var = HumanBytes(removed.var_bytes);
        writeln!(out, "{how}: stateroot {} ({var} in /var)", self.stateroot)?;
        if let Some(change) = &removed.change {
            changes::print(&mut out, change)?;
        }
        if let Some(bytes) = removed.collected_bytes {
            writeln!(out, "{how}: objects ({})", HumanBytes(bytes))?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}
