//! `container image reexport`

use clap::Args;
use image::ExportToOCIOpts;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::container::CompressionOptions;
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Write a stored image somewhere else, with the layers that it came in
#[derive(Debug, Args)]
#[command(alias = "push")]
pub(crate) struct Reexport {
    /// The stored image
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    /// Where to write it, as in oci:/srv/image:tag or registry:quay.io/os/image:tag
    #[arg(value_name = "DEST", value_parser = reference::stored)]
    dest: ImageReference,
    #[command(flatten)]
    compression: CompressionOptions,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
}

impl Reexport {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let access = self.source.access()?;
        let mut options = ExportToOCIOpts::default();
        options.compression = self.compression.choice();
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let written = host::image_export(
            &repo,
            &self.image,
            &self.dest,
            &access,
            &options,
            progress,
            interrupt,
        )?;
        let out = context.results();
        if self.json {
            out.json(&written)?;
        } else {
            out.all(format!("Exported: {}\n", written.digest).as_bytes())?;
        }
        Ok(Exit::Done)
    }
}
