//! `container image replace-detached-metadata`

use std::path::PathBuf;

use clap::Args;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::environment::now;
use crate::outcome::{Exit, Failure, Hinted};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Copy an image with other detached metadata (signatures) of its commit
#[derive(Debug, Args)]
pub(crate) struct ReplaceDetachedMetadata {
    /// The image
    #[arg(long, value_name = "IMGREF", value_parser = reference::stored)]
    src: ImageReference,
    /// Where to write the new one
    #[arg(long, value_name = "IMGREF", value_parser = reference::stored)]
    dest: ImageReference,
    /// A file with the new metadata, a serialised a{sv}; without it there is none any more
    contents: Option<PathBuf>,
    #[command(flatten)]
    source: SourceOptions,
}

impl ReplaceDetachedMetadata {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access()?;
        let contents = self.contents.as_ref().map(std::fs::read).transpose();
        let contents = contents.hint("this was about the file with the new metadata")?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let written = host::replace_detached_metadata(
            &self.src,
            &self.dest,
            contents.as_deref(),
            &access,
            now(),
            progress,
            interrupt,
        )?;
        let text = format!("Pushed: {}\n", written.digest);
        context.results().all(text.as_bytes())?;
        Ok(Exit::Done)
    }
}
