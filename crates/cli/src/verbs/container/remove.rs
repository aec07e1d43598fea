//! `container image remove`

use std::io::Write;

use clap::Args;
use host::RemoveError;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;

/// Remove images, and the names of layers that nothing needs any more
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The images
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    images: Vec<ImageReference>,
    /// Keep the layers
    #[arg(long)]
    skip_gc: bool,
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let result = host::image_remove_only(&repo, &self.images);
        let (removal, failure) = match result {
            Ok(removal) => (removal, None),
            Err(RemoveError::Missing(removal)) => {
                ((*removal).clone(), Some(RemoveError::Missing(removal)))
            }
            Err(error) => return Err(error.into()),
        };
        let mut out = context.results();
        let images = removal.removed.len();
        if self.skip_gc {
            writeln!(out, "Removed images: {images}")?;
        } else {
            let layers = host::image_prune_layers(&repo)?.unwrap_or_default();
            writeln!(out, "Removed images: {images} layers: {layers}")?;
        }
        out.finish()?;
        match failure {
            Some(failure) => Err(failure.into()),
            None => Ok(Exit::Done),
        }
    }
}
