//! `bootroot image remove`

use std::io::Write;

use clap::Args;
use host::{Removal, RemoveError};
use oci::reference::ImageReference;

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;

/// Remove images, and release the layers that nothing needs any more
///
/// When one of the images is not there, the others are removed all the same, and that is an error.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The images
    #[arg(value_name = "IMGREF", value_parser = reference::stored, required = true)]
    images: Vec<ImageReference>,
    #[command(flatten)]
    format: Format,
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        match host::image_remove(storage.repo(), &self.images) {
            Ok(removal) => self.report(context, &removal)?,
            Err(RemoveError::Missing(removal)) => {
                self.report(context, &removal)?;
                let failure = Failure::from(RemoveError::Missing(removal));
                return Err(failure.with_hint(super::WHAT_IS_STORED));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Exit::Done)
    }

    fn report(&self, context: &Context, removal: &Removal) -> Result<(), Failure> {
        let mut out = context.results();
        if self.format.json {
            return Ok(out.json(removal)?);
        }
        for image in &removal.removed {
            writeln!(out, "removed {image}")?;
        }
        match removal.layers_released {
            Some(count) if count > 0 => writeln!(out, "released {count} layers")?,
            _ => {}
        }
        Ok(out.finish()?)
    }
}
