//! `bootroot container` and `bootroot ostree container`: commits and images, both ways. Arguments and output
//! are those of ostree-ext's command.

pub(crate) mod clear_cached_update;
pub(crate) mod compare;
pub(crate) mod copy;
mod copy_image;
mod deploy;
mod encapsulate;
mod encapsulate_directory;
mod image_options;
mod info;
mod list;
mod prune;
mod pull;
pub(crate) mod reexport;
mod remove;
mod replace_detached_metadata;
mod unencapsulate;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use image::{Compression, WrittenImage};
use layer::Packing;
use ostree::Repo;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::Place;
use crate::verbs::image::{history, metadata};

/// Commits and images, both ways.
#[derive(Debug, Subcommand)]
pub(crate) enum Container {
    Encapsulate(Box<encapsulate::Encapsulate>),
    EncapsulateDirectory(Box<encapsulate_directory::EncapsulateDirectory>),
    Unencapsulate(unencapsulate::Unencapsulate),
    Info(info::Info),
    Copy(copy_image::CopyImage),
    Compare(compare::Compare),
    /// Work with stored images
    #[command(subcommand)]
    Image(ContainerImage),
}

/// Stored images.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerImage {
    List(list::List),
    Pull(pull::Pull),
    Deploy(Box<deploy::Deploy>),
    History(history::History),
    Metadata(metadata::Metadata),
    ClearCachedUpdate(clear_cached_update::ClearCachedUpdate),
    Copy(copy::Copy),
    Reexport(reexport::Reexport),
    ReplaceDetachedMetadata(replace_detached_metadata::ReplaceDetachedMetadata),
    Remove(remove::Remove),
    PruneLayers(prune::PruneLayers),
    PruneImages(prune::PruneImages),
}

impl Container {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Encapsulate(verb) => verb.run(context),
            Self::EncapsulateDirectory(verb) => verb.run(context),
            Self::Unencapsulate(verb) => verb.run(context),
            Self::Info(verb) => verb.run(context),
            Self::Copy(verb) => verb.run(context),
            Self::Compare(verb) => verb.run(context),
            Self::Image(verb) => verb.run(context),
        }
    }
}

impl ContainerImage {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::List(verb) => verb.run(context),
            Self::Pull(verb) => verb.run(context),
            Self::Deploy(verb) => verb.run(context),
            Self::History(verb) => verb.run(context),
            Self::Metadata(verb) => verb.run(context),
            Self::ClearCachedUpdate(verb) => verb.run(context),
            Self::Copy(verb) => verb.run(context),
            Self::Reexport(verb) => verb.run(context),
            Self::ReplaceDetachedMetadata(verb) => verb.run(context),
            Self::Remove(verb) => verb.run(context),
            Self::PruneLayers(verb) => verb.run(context),
            Self::PruneImages(verb) => verb.run(context),
        }
    }
}

/// How layers are compressed.
#[derive(Debug, Args)]
pub(crate) struct CompressionOptions {
    /// How layers are compressed
    #[arg(long, value_name = "FORMAT", default_value = "gzip")]
    compression: Format,
    /// Compress as fast as possible
    #[arg(long)]
    compression_fast: bool,
    /// Compress with N threads; the result is the same [default: one per processor]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Gzip,
    Zstd,
    None,
}

impl CompressionOptions {
    pub(crate) fn choice(&self) -> Compression {
        let mut compression = Compression::default();
        compression.threads = self.threads;
        compression.packing = match (self.compression, self.compression_fast) {
            (Format::Gzip, false) => Packing::GZIP,
            (Format::Gzip, true) => Packing::GZIP_FAST,
            (Format::Zstd, false) => Packing::ZSTD,
            (Format::Zstd, true) => Packing::Zstd(1),
            (Format::None, _) => Packing::Plain,
        };
        compression
    }
}

/// Tells what image was written.
fn report_written(context: &Context, image: &WrittenImage, json: bool) -> Result<Exit, Failure> {
    let out = context.results();
    if json {
        out.json(image)?;
    } else {
        out.all(format!("{}\n", image.digest).as_bytes())?;
    }
    Ok(Exit::Done)
}

/// A repository that stands in another option than `--repo`.
fn repository_at(path: &Path) -> Result<Repo, Failure> {
    Place::Repository(PathBuf::from(path)).open_repository()
}
