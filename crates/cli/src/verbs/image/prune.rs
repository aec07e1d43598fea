//! `bootroot image prune`

use std::io::Write;

use clap::Args;
use host::{PruneDepth, Pruned};
use image::Fate;
use indicatif::HumanBytes;

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::render::Table;

/// Remove what nothing needs any more: images, base images, layers, then objects
///
/// An image stays while a deployment uses it, also a staged or pinned one; a layer while an image, a
/// deployment or a pending update has it. With --repo, where no system says what is used, all images stay.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only tell what would stay and what would go, and why
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

impl Prune {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let depth = PruneDepth::Objects;
        let pruned = host::image_prune(&storage, depth, self.dry_run, progress, interrupt)?;
        let mut out = context.results();
        if self.format.json {
            out.json(&pruned)?;
            return Ok(Exit::Done);
        }
        write!(out, "{}", table(&pruned, self.dry_run))?;
        if !self.dry_run {
            let (objects, bytes) = (pruned.objects, HumanBytes(pruned.bytes));
            writeln!(out, "{objects} objects removed, {bytes} freed")?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// Everything for a dry run; afterwards what went.
fn table(pruned: &Pruned, all: bool) -> Table {
    let mut table = Table::new(["", "WHAT", "NAME", "BECAUSE"]);
    let plan = &pruned.plan;
    for (what, fates) in [
        ("image", &plan.images),
        ("base image", &plan.base_images),
        ("layer", &plan.layers),
    ] {
        for fate in fates.iter().filter(|fate| all || !fate.stays) {
            table.row(row(what, fate));
        }
    }
    table
}

fn row(what: &str, fate: &Fate) -> [String; 4] {
    let stays = if fate.stays { "stays" } else { "goes" };
    let name = match what {
        "layer" => fate.name.chars().take("sha256:".len() + 12).collect(),
        _ => fate.name.clone(),
    };
    [stays.to_owned(), what.to_owned(), name, fate.reason.clone()]
}
