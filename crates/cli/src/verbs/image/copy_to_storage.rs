//! `bootroot image copy-to-storage`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use oci::reference::{ImageReference, OstreeImageReference, Transport};

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Give podman an image that is stored, for running it as a container or building upon it
#[derive(Debug, Args)]
pub(crate) struct CopyToStorage {
    /// The stored image [default: the one that the first deployment follows, the running one on a running system]
    #[arg(long, value_name = "IMGREF", value_parser = reference::stored)]
    source: Option<ImageReference>,
    /// The name that it has for podman
    #[arg(long, value_name = "NAME", default_value = "localhost/bootc")]
    target: String,
    #[command(flatten)]
    access: SourceOptions,
}

/// The image could not be copied.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("no deployment follows an image: say --source")]
    NoImage,
    #[error("skopeo, which writes to podman's storage, failed: {0}")]
    Skopeo(String),
}

impl Classified for CopyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoImage => ErrorClass::NotFound,
            Self::Skopeo(_) => ErrorClass::Io,
        }
    }
}

/// A directory that goes when it is not needed any more.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _stays = std::fs::remove_dir_all(&self.0);
    }
}

impl CopyToStorage {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let source = match &self.source {
            Some(source) => source.clone(),
            None => followed(context)?,
        };
        let place = environment::temporary_directory();
        let scratch = Scratch(place.join(format!("bootroot-image-{}", std::process::id())));
        std::fs::create_dir(&scratch.0)?;
        let name = format!("{}/oci:image", scratch.0.display());
        let copy = ImageReference::new(Transport::OciDir, name);
        let storage = context.storage()?;
        let (written, is_stored) = host::copy_to_storage(
            storage.repo(),
            &source,
            &copy,
            &self.target,
            &self.access.access()?,
            environment::now(),
            context.progress(),
            context.interrupt(),
        )?;
        if !is_stored
            && let Some(said) = environment::copy_to_podman(&copy.to_string(), &self.target)?
        {
            return Err(CopyError::Skopeo(said).into());
        }
        let mut out = context.results();
        writeln!(out, "{}: {} for podman", self.target, written.digest)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// The image that runs; what boots first, where nothing runs.
fn followed(context: &Context) -> Result<ImageReference, Failure> {
    let status = context
        .place()
        .backend()?
        .status(context.place().running_facts())?;
    let deployments = &status.deployments;
    let booted = deployments.iter().find(|deployment| deployment.booted);
    let chosen = booted.or_else(|| deployments.first());
    let image = chosen.and_then(|chosen| chosen.image.as_ref());
    let image = image.ok_or(CopyError::NoImage)?;
    let reference: OstreeImageReference = image.reference.parse()?;
    Ok(reference.imgref)
}
