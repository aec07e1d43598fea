//! `container compare`

use std::io::Write;

use clap::Args;
use host::Compared;
use image::LayerTotal;
use indicatif::HumanBytes;
use oci::reference::OstreeImageReference;

use crate::context::Context;
use crate::environment::now;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Compare the layers of two images, without fetching them
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The first image
    #[arg(value_name = "OLD", value_parser = reference::image)]
    old: OstreeImageReference,
    /// The second image
    #[arg(value_name = "NEW", value_parser = reference::image)]
    new: OstreeImageReference,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access()?;
        let interrupt = context.interrupt();
        let compared =
            host::image_compare(None, &self.old, &self.new, false, &access, now(), interrupt)?;
        report(context, &compared, self.json)
    }
}

/// Shows what differs.
pub(crate) fn report(context: &Context, compared: &Compared, json: bool) -> Result<Exit, Failure> {
    let mut out = context.results();
    if json {
        out.json(compared)?;
        return Ok(Exit::Done);
    }
    for (title, total) in [
        ("Total new layers:", compared.total),
        ("Removed layers:", compared.removed),
        ("Added layers:", compared.added),
    ] {
        let LayerTotal { count, bytes } = total;
        writeln!(out, "{title:<17} {count:<4}  Size: {}", HumanBytes(bytes))?;
    }
    for (mark, paths) in compared.files.iter().flat_map(|files| {
        [
            ("M", &files.modified),
            ("D", &files.removed),
            ("A", &files.added),
        ]
    }) {
        for path in paths {
            writeln!(out, "{mark}    {path}")?;
        }
    }
    out.finish()?;
    Ok(Exit::Done)
}
