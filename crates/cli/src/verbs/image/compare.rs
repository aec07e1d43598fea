//! `bootroot image compare`

use clap::Args;
use oci::reference::OstreeImageReference;

use crate::arguments::Format;
use crate::context::Context;
use crate::environment::now;
use crate::outcome::{Exit, Failure};
use crate::verbs::container::compare::report;
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Tell what differs between two images: layers, and for stored images files
///
/// An image that is stored is taken from the store, any other from where it comes from.
#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// The first image
    #[arg(value_name = "OLD", value_parser = reference::image)]
    old: OstreeImageReference,
    /// The second image
    #[arg(value_name = "NEW", value_parser = reference::image)]
    new: OstreeImageReference,
    /// Compare files, too; both images must be stored
    #[arg(long)]
    files: bool,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    format: Format,
}

impl Compare {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        let access = self.source.access()?;
        let repo = Some(storage.repo());
        let interrupt = context.interrupt();
        let compared = host::image_compare(
            repo,
            &self.old,
            &self.new,
            self.files,
            &access,
            now(),
            interrupt,
        )?;
        report(context, &compared, self.format.json)
    }
}
