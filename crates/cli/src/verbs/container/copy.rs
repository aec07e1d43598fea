//! `container image copy`

use std::path::PathBuf;

use clap::Args;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::container::repository_at;
use crate::verbs::reference;

/// Copy a stored image with its layers into another repository
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The repository that has it [default: as for other verbs]
    #[arg(long, value_name = "DIR")]
    src_repo: Option<PathBuf>,
    /// The repository that is to have it
    #[arg(long, value_name = "DIR")]
    dest_repo: PathBuf,
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    /// What it is called in the other repository [default: the same]
    #[arg(long, value_name = "IMGREF", value_parser = reference::stored)]
    target_imgref: Option<ImageReference>,
}

impl Copy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let source = match &self.src_repo {
            Some(path) => repository_at(path)?,
            None => context.place().open_repository()?,
        };
        let dest = repository_at(&self.dest_repo)?;
        let target = self.target_imgref.as_ref().unwrap_or(&self.image);
        let (progress, interrupt) = (context.progress(), context.interrupt());
        host::image_copy(&source, &self.image, &dest, target, progress, interrupt)?;
        Ok(Exit::Done)
    }
}
