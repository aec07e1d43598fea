//! `bootroot image metadata`

use clap::Args;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::outcome::{Exit, Failure, Hinted};
use crate::verbs::reference;

/// Print the manifest of a stored image, or its config, as JSON
#[derive(Debug, Args)]
pub(crate) struct Metadata {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    /// Print the config
    #[arg(long)]
    config: bool,
    /// Print what was found about its signatures when it was pulled; null if nothing was asked
    #[arg(long, conflicts_with = "config")]
    verdict: bool,
    /// Report errors in JSON; the answer is JSON in any case
    #[arg(long)]
    json: bool,
}

impl Metadata {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        let document = if self.verdict {
            host::image_verdict(storage.repo(), &self.image)
        } else {
            host::image_metadata(storage.repo(), &self.image, self.config)
        };
        context
            .results()
            .json(&document.hint(super::WHAT_IS_STORED)?)?;
        Ok(Exit::Done)
    }
}
