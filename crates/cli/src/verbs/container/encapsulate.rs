//! `container encapsulate`

use clap::Args;
use oci::reference::ImageReference;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::container::image_options::ImageOptions;
use crate::verbs::container::report_written;
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Wrap a commit into a container image
///
/// The image has one layer, unless --contentmeta, --chunked or --chunked-by-package cuts it into several.
/// The same commit and options give the same image, byte for byte.
#[derive(Debug, Args)]
#[command(alias = "export")]
pub(crate) struct Encapsulate {
    /// The ref or commit
    rev: String,
    /// Where to write the image, as in oci:/srv/image:tag, oci-archive:image.tar or
    /// registry:quay.io/os/image:tag
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    /// Copy this metadata of the commit into a label; it must be there
    #[arg(long = "copymeta", value_name = "KEY")]
    copy_meta: Vec<String>,
    /// Copy this metadata of the commit into a label if it is there
    #[arg(long = "copymeta-opt", value_name = "KEY")]
    copy_meta_optional: Vec<String>,
    #[command(flatten)]
    options: ImageOptions,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
}

impl Encapsulate {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let access = self.source.access()?;
        let mut options = self.options.choices(&self.source, context)?;
        options.copy_meta = self.copy_meta;
        options.copy_meta_optional = self.copy_meta_optional;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let image = host::encapsulate(
            &repo,
            &self.rev,
            &self.image,
            &access,
            &options,
            progress,
            interrupt,
        )?;
        report_written(context, &image, self.json)
    }
}
