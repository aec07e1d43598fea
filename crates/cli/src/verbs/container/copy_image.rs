//! `container copy`

use std::io::Write;

use clap::Args;
use indicatif::HumanBytes;
use oci::reference::{ImageReference, OstreeImageReference};

use crate::context::Context;
use crate::environment::now;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Copy an image from where it is to somewhere else, byte for byte
///
/// Nothing is stored. Layers that the destination has are not sent; those of another repository of the
/// same registry stay where they are. Of an image for several platforms, that for this machine is copied,
/// unless all are asked for. Signatures are not copied.
#[derive(Debug, Args)]
pub(crate) struct CopyImage {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    /// Where it is to be, as in oci:/srv/image:tag or registry:quay.io/os/image:tag
    #[arg(value_name = "DEST", value_parser = reference::stored)]
    dest: ImageReference,
    /// Copy the images for all platforms, and the index that names them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
}

impl CopyImage {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let copied = host::copy_image(
            &self.image,
            &self.dest,
            self.all,
            &access,
            now(),
            progress,
            interrupt,
        )?;
        let mut out = context.results();
        if self.json {
            out.json(&copied)?;
            return Ok(Exit::Done);
        }
        let (sent, present) = (
            HumanBytes(copied.bytes_sent),
            HumanBytes(copied.bytes_present),
        );
        writeln!(
            out,
            "Copied: {} ({sent} sent, {present} already there)",
            copied.digest
        )?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
