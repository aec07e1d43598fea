//! `container image clear-cached-update`

use clap::Args;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;

/// Forget what a pull of a stored image would bring
#[derive(Debug, Args)]
pub(crate) struct ClearCachedUpdate {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
}

impl ClearCachedUpdate {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        host::image_clear_cached_update(&repo, &self.image)??;
        Ok(Exit::Done)
    }
}
