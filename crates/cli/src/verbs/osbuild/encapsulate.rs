//! The stage `org.osbuild.ostree.encapsulate`.

use clap::Args;
use host::ContainerError;
use image::{Chunking, EncapsulateError, EncapsulateOptions, PackagesError, WrittenImage};
use oci::reference::{ImageReference, Transport};
use osbuild::EncapsulateStage;
use ostree::Repo;
use rustix::fs::CWD;

use super::StageFiles;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::source::SourceOptions;

/// The stage org.osbuild.ostree.encapsulate: wrap a commit into an OCI archive
///
/// Layers are cut by package where the commit has a database of dpkg or RPM, else by directory. A
/// program called org.osbuild.ostree.encapsulate does this.
#[derive(Debug, Args)]
pub(crate) struct OstreeEncapsulate {
    #[command(flatten)]
    files: StageFiles,
}

impl OstreeEncapsulate {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let stage = EncapsulateStage::new(self.files.arguments()?)?;
        let image = encapsulate(&stage, context)?;
        self.files.tell("image", &image)?;
        let line = format!("{}\n", image.digest);
        context.results().all(line.as_bytes())?;
        Ok(Exit::Done)
    }
}

fn encapsulate(stage: &EncapsulateStage, context: &Context) -> Result<WrittenImage, Failure> {
    let repo = Repo::open_at(CWD, &stage.repository)?;
    let name = stage.archive.to_string_lossy();
    let archive = ImageReference::new(Transport::OciArchive, name);
    let access = SourceOptions::default().access()?;
    let write = |chunking| {
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let options = options(stage, chunking);
        let (rev, to) = (&stage.revision, &archive);
        host::encapsulate(&repo, rev, to, &access, &options, progress, interrupt)
    };
    Ok(match write(Chunking::Packages) {
        Err(error) if has_no_packages(&error) => write(Chunking::Paths),
        other => other,
    }?)
}

fn has_no_packages(error: &ContainerError) -> bool {
    let ContainerError::Encapsulate(error) = error else {
        return false;
    };
    matches!(
        **error,
        EncapsulateError::Packages(PackagesError::NoDatabase)
    )
}

fn options(stage: &EncapsulateStage, chunking: Chunking) -> EncapsulateOptions {
    let mut options = EncapsulateOptions::default();
    options.labels = stage.labels.iter().cloned().collect();
    options.cmd.clone_from(&stage.cmd);
    options.copy_meta.clone_from(&stage.copy_meta);
    options.chunking = chunking;
    if let Some(layers) = stage.max_layers {
        options.max_layers = layers.get();
    }
    options
}
