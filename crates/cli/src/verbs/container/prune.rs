//! `container image prune-layers` and `prune-images`

use std::io::Write;

use clap::Args;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Remove the names of layers that nothing needs
#[derive(Debug, Args)]
pub(crate) struct PruneLayers {}

/// Remove images that no deployment uses
#[derive(Debug, Args)]
pub(crate) struct PruneImages {
    /// Also remove the names of layers that nothing needs; they are removed in any case
    #[arg(long)]
    and_layers: bool,
    /// Also remove objects
    #[arg(long, conflicts_with = "and_layers")]
    full: bool,
}

impl PruneLayers {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let count = host::image_prune_layers(&repo)?.unwrap_or_default();
        let text = format!("Removed layers: {count}\n");
        context.results().all(text.as_bytes())?;
        Ok(Exit::Done)
    }
}

impl PruneImages {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        // Without a system nobody knows what is used.
        storage.sysroot()?;
        let depth = if self.full {
            host::PruneDepth::Objects
        } else {
            host::PruneDepth::Refs
        };
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let pruned = host::image_prune(&storage, depth, false, progress, interrupt)?;
        let gone = |fates: &[image::Fate]| fates.iter().filter(|fate| !fate.stays).count();
        let (images, layers) = (gone(&pruned.plan.images), gone(&pruned.plan.layers));
        let mut out = context.results();
        if self.full {
            writeln!(out, "Removed images: {images}")?;
            writeln!(out, "Removed layers: {layers}")?;
            writeln!(out, "Removed objects: {}", pruned.objects)?;
            writeln!(out, "Freed: {}", indicatif::HumanBytes(pruned.bytes))?;
        } else if images == 0 {
            writeln!(out, "No unreferenced images.")?;
        } else {
            for fate in pruned.plan.images.iter().filter(|fate| !fate.stays) {
                writeln!(out, "Removed: {}", fate.name)?;
            }
        }
        if self.and_layers {
            writeln!(out, "Removed layers: {layers}")?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}
