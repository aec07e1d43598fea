//! What verbs have in common that change which deployments there are.

use std::io::Write;

use clap::Args;
use host::{Backend, Change, ChangeOptions};

use crate::arguments::Format;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// How such a verb works and answers.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ChangeArgs {
    /// Change nothing, only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) format: Format,
}

impl ChangeArgs {
    pub(crate) fn options(self) -> ChangeOptions {
        let mut options = ChangeOptions::default();
        options.dry_run = self.dry_run;
        options
    }

    /// Opens the deployments for a change, or only for looking when nothing is to be changed.
    pub(crate) fn backend(self, context: &Context) -> Result<Box<dyn Backend>, Failure> {
        context.place().make_writable()?;
        context.place().backend()
    }

    /// Answers, and tells the journal.
    pub(crate) fn report(
        self,
        context: &Context,
        change: &Change,
        event: Event,
    ) -> Result<Exit, Failure> {
        if change.made && change.changed {
            let first = change.boots.first().map(|entry| entry.deployment.as_str());
            let first = first.unwrap_or("nothing");
            let fields = [("BOOTROOT_DEPLOYMENT", first)];
            context
                .journal()
                .tell(event, &format!("{first} boots next"), &fields);
        }
        let mut out = context.results();
        if self.format.json {
            out.json(change)?;
            return Ok(Exit::Done);
        }
        print(&mut out, change)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// What boots, and what is gone.
pub(crate) fn print(out: &mut dyn Write, change: &Change) -> std::io::Result<()> {
    let tense = |would: &'static str, did: &'static str| if change.made { did } else { would };
    if !change.changed {
        writeln!(out, "nothing to change")?;
    }
    if let Some(stage) = &change.discarded_stage {
        writeln!(
            out,
            "{}: {stage}",
            tense("stage to be given up", "stage given up")
        )?;
    }
    for removed in &change.removed {
        writeln!(out, "{}: {removed}", tense("to be removed", "removed"))?;
    }
    writeln!(
        out,
        "{}:",
        tense("would boot, in this order", "boots, in this order")
    )?;
    for entry in &change.boots {
        writeln!(out, "  {}", entry.title)?;
        writeln!(out, "    deployment: {}", entry.deployment)?;
        writeln!(out, "    arguments:  {}", entry.kernel_arguments.join(" "))?;
    }
    Ok(())
}
