//! `bootroot cleanup`

use std::io::Write;

use clap::Args;
use indicatif::HumanBytes;

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Remove what is left over: deployments that nothing boots, their kernels, unreachable objects
#[derive(Debug, Args)]
pub(crate) struct Cleanup {
    #[command(flatten)]
    change: ChangeArgs,
}

impl Cleanup {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = self.change.backend(context)?;
        let options = self.change.options();
        let cleaned = backend.cleanup(&options, context.progress(), context.interrupt())?;
        if cleaned.made {
            let message = format!("Removed {} objects that nothing needs", cleaned.objects);
            context.journal().tell(Event::CleanedUp, &message, &[]);
        }
        let mut out = context.results();
        if self.change.format.json {
            out.json(&cleaned)?;
            return Ok(Exit::Done);
        }
        let how = if cleaned.made {
            "removed"
        } else {
            "to be removed"
        };
        for deployment in &cleaned.deployments {
            writeln!(out, "{how}: deployment {deployment}")?;
        }
        for file in &cleaned.boot_files {
            writeln!(out, "{how}: /boot/{file}")?;
        }
        for stray in &cleaned.strays {
            writeln!(out, "{how}: {stray}")?;
        }
        for layer in &cleaned.layers {
            writeln!(out, "{how}: layer {layer}")?;
        }
        let (objects, bytes) = (cleaned.objects, HumanBytes(cleaned.bytes));
        writeln!(out, "{how}: {objects} objects ({bytes})")?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
