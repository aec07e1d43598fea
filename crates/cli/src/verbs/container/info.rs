//! `container info`

use clap::Args;
use oci::reference::OstreeImageReference;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Print the digest of an image, without fetching it
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access()?;
        let found = host::fetch_manifest(&self.image, &access, context.interrupt())?;
        let out = context.results();
        if self.json {
            out.json(&found)?;
        } else {
            out.all(format!("{} digest: {}\n", self.image, found.digest).as_bytes())?;
        }
        Ok(Exit::Done)
    }
}
