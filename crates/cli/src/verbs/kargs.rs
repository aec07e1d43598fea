//! `bootroot kargs`

use std::io::Write;

use clap::Args;
use host::ArgsChange;
use serde::Serialize;

use super::changes::ChangeArgs;
use crate::context::Context;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Show or change the kernel arguments of the deployment that boots first
///
/// Without options, they are shown. A change makes a new deployment of the same image, so that the old
/// arguments can still be booted; where the root is an image of composefs, the boot entry itself changes. Deletions
/// come first, then replacements, then additions.
#[derive(Debug, Args)]
pub(crate) struct Kargs {
    /// Append an argument
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    append: Vec<String>,
    /// Delete an argument; KEY alone where there is only one
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    delete: Vec<String>,
    /// Replace a value: KEY=NEW where there is only one, else KEY=OLD=NEW
    #[arg(long, value_name = "KEY=NEW", allow_hyphen_values = true)]
    replace: Vec<String>,
    /// Change the boot entry itself instead of making a new deployment
    #[arg(long)]
    in_place: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    kernel_arguments: Vec<String>,
}

impl Kargs {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut change = ArgsChange::default();
        change.append.clone_from(&self.append);
        change.delete.clone_from(&self.delete);
        change.replace.clone_from(&self.replace);
        change.in_place = self.in_place;
        if change.is_empty() {
            return self.show(context);
        }
        let backend = self.change.backend(context)?;
        let options = self.change.options();
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let changed = backend.change_kernel_arguments(&change, &options, progress, interrupt)?;
        self.change.report(context, &changed, Event::Changed)
    }

    fn show(&self, context: &Context) -> Result<Exit, Failure> {
        let kernel_arguments = context.place().backend()?.kernel_arguments()?;
        let mut out = context.results();
        if self.change.format.json {
            out.json(&Document {
                schema: "bootroot.kargs/1",
                kernel_arguments,
            })?;
            return Ok(Exit::Done);
        }
        writeln!(out, "{}", kernel_arguments.join(" "))?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
