//! `bootroot composefs prune`

use std::io::Write;

use clap::Args;
use indicatif::HumanBytes;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Remove from the composefs repository what neither a name nor a deployment needs
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Keep this image of a root or this stream, too
    #[arg(long, value_name = "NAME")]
    keep: Vec<String>,
    /// Remove nothing, only say what would be
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if !self.dry_run {
            context.place().make_writable()?;
        }
        let mut store = super::existing(context)?;
        let root = context.place().root()?;
        let pruned = host::composefs_prune(&mut store, root, &self.keep, self.dry_run)?;
        let mut out = context.results();
        let verb = if self.dry_run {
            "would remove"
        } else {
            "removed"
        };
        let bytes = HumanBytes(pruned.bytes);
        writeln!(
            out,
            "{verb} {} objects, {} images and {} streams: {bytes}",
            pruned.objects, pruned.images, pruned.streams
        )?;
        Ok(out.finish().map(|()| Exit::Done)?)
    }
}
