//! `bootroot image check`

use std::io::Write;

use clap::Args;
use host::Verified;
use oci::reference::ImageReference;

use crate::arguments::Format;
use crate::context::Context;
use crate::environment::now;
use crate::outcome::{Exit, Failure, Hinted};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Read and hash every object of a stored image, layer by layer
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    /// Fetch again what is missing or damaged
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    format: Format,
}

/// The image is not whole.
#[derive(Debug, thiserror::Error)]
#[error("image {0} is not whole")]
struct NotWhole(String);

impl error_class::Classified for NotWhole {
    fn class(&self) -> error_class::ErrorClass {
        error_class::ErrorClass::Corrupt
    }
}

impl Check {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let verified = if self.repair {
            let access = self.source.access_at(context.place())?;
            host::image_repair(
                storage.repo(),
                &self.image,
                &access,
                now(),
                progress,
                interrupt,
            )
        } else {
            host::image_check(storage.repo(), &self.image, progress, interrupt)
        };
        let verified = verified.hint(super::WHAT_IS_STORED)?;
        self.report(context, &verified)?;
        if verified.whole {
            return Ok(Exit::Done);
        }
        let image = self.image.to_string();
        let hint = format!("`bootroot image check --repair {image}` fetches again what is missing");
        Err(Failure::from(NotWhole(image)).with_hint(hint))
    }

    fn report(&self, context: &Context, verified: &Verified) -> Result<(), Failure> {
        let mut out = context.results();
        if self.format.json {
            return Ok(out.json(verified)?);
        }
        for layer in &verified.damaged_layers {
            for problem in &layer.problems {
                writeln!(out, "{}: {problem}", layer.digest)?;
            }
        }
        for problem in &verified.problems {
            writeln!(out, "merged tree: {problem}")?;
        }
        if verified.whole {
            let done = if verified.repaired {
                "repaired"
            } else {
                "whole"
            };
            writeln!(
                out,
                "{}: {done}, {} objects",
                verified.image, verified.objects
            )?;
        }
        Ok(out.finish()?)
    }
}
