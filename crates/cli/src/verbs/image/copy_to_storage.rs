//! `bootroot image copy-to-storage`

use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use host::{ForPodman, GivenToPodman, Storage};
use image::ExportToOCIOpts;
use indicatif::HumanBytes;
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
        // Files get more names there.
        context.place().make_writable()?;
        let source = match &self.source {
            Some(source) => source.clone(),
            None => followed(context)?,
        };
        let access = self.access.access_at(context.place())?;
        let podman = ForPodman {
            name: &self.target,
            access: &access,
            now: environment::now(),
            progress: context.progress(),
            interrupt: context.interrupt(),
        };
        let given = match from_composefs(context, &podman, &source)? {
            Some(given) => Some(given),
            None => podman.give_commit(context.storage()?.repo(), &source)?,
        };
        let mut out = context.results();
        if let Some(given) = given {
            let shared = HumanBytes(given.shared);
            writeln!(out, "{}: {} for podman", self.target, given.digest)?;
            writeln!(out, "shared with other stores: {shared}")?;
        } else {
            let digest = by_skopeo(context, &podman, &source)?;
            writeln!(out, "{}: {digest} for podman", self.target)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// The image as the composefs repository has it, if it does.
fn from_composefs(
    context: &Context,
    podman: &ForPodman<'_>,
    source: &ImageReference,
) -> Result<Option<GivenToPodman>, Failure> {
    let root = context.place().root().ok();
    let store = root.and_then(|root| host::composefs_store(root.as_fd()).ok().flatten());
    let Some(store) = store else {
        return Ok(None);
    };
    let storage = context.storage().ok();
    let repo = storage.as_ref().map(Storage::repo);
    Ok(podman.give_composefs(&store, repo, source)?)
}

/// Gives podman the image by way of a directory, whatever its storage is like.
fn by_skopeo(
    context: &Context,
    podman: &ForPodman<'_>,
    source: &ImageReference,
) -> Result<String, Failure> {
    let place = environment::temporary_directory();
    let scratch = Scratch(place.join(format!("bootroot-image-{}", std::process::id())));
    std::fs::create_dir(&scratch.0)?;
    let name = format!("{}/oci:image", scratch.0.display());
    let copy = ImageReference::new(Transport::OciDir, name);
    let storage = context.storage()?;
    let written = host::image_export(
        storage.repo(),
        source,
        &copy,
        podman.access,
        &ExportToOCIOpts::default(),
        podman.progress,
        podman.interrupt,
    )?;
    match environment::copy_to_podman(&copy.to_string(), podman.name)? {
        Some(said) => Err(CopyError::Skopeo(said).into()),
        None => Ok(written.digest),
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
