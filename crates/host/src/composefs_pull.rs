//! Bringing an image into the composefs repository.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use composefs::{Store, StoreError};
use composefs_image::{ImageError, Pulled};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use oci::manifest::{Layer, RawConfig, RawManifest};
use oci::parts::{PartLimits, Parts};
use oci::reference::{OstreeImageReference, SignatureSource};
use oci::source::{Error as SourceError, open};
use progress::{Interrupt, Progress, TaskKind};
use rustix::fs::{Mode, OFlags};

use crate::composefs_store::COMPOSEFS;
use crate::image_explain::enforce;
use crate::layer_sum::LayerSum;
use crate::space::{USUAL_RATIO, require_space, unpacked};
use crate::{Access, AccessError, FileSystemPlan, NoSpace, TrustError};

/// Where partly fetched layers are kept, below the repository.
const PARTS_DIR: &str = "bootroot-partial-blobs";

/// Choices of a pull.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ComposefsPullOptions {
    /// Store the image under this name instead of the one it is fetched by.
    pub name: Option<String>,
    /// Make the root as it is booted, too.
    pub bootable: bool,
    /// The current time in seconds since 1970.
    pub now: u64,
}

/// Why an image was not pulled. What is stored under the name is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposefsPullError {
    /// The image asks for a signature of a commit, of which there is none here.
    #[error(
        "{0} asks for a signed commit, but a composefs repository has no commits; \
         use ostree-image-signed: and an image policy"
    )]
    CommitSignature(Box<OstreeImageReference>),
    /// The way to the image.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The image is not signed as it has to be.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It cannot be stored.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// There is not enough space for what would be fetched.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
}

impl ComposefsPullError {
    /// Whether the image has no root that could be booted.
    pub(crate) fn is_of_no_system(&self) -> bool {
        matches!(self, Self::Image(ImageError::NoDirectory(_)))
    }
}

impl Classified for ComposefsPullError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::CommitSignature(_) => ErrorClass::Unsupported,
            Self::Access(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Trust(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::NoSpace(error) => error.class(),
        }
    }
}

/// Brings an image into the composefs repository, if there is space for it. Layers that are there already are not
/// fetched.
///
/// # Errors
/// [`ComposefsPullError`]; layers that were complete by then stay and are not fetched again.
pub fn composefs_pull(
    store: &Store,
    image: &OstreeImageReference,
    access: &Access,
    options: &ComposefsPullOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Pulled, ComposefsPullError> {
    let agree = |documents: &Documents| {
        let space = documents.space(store)?;
        let frees =
            || vec!["`bootroot composefs remove` and `bootroot composefs prune`".to_owned()];
        Ok(require_space(&[space], progress, frees)?)
    };
    composefs_pull_if(store, image, access, options, progress, interrupt, agree)
}

/// The bytes that are free where the repository is.
pub(crate) fn space_left(store: &Store) -> Result<u64, durable::Error> {
    let stat = rustix::fs::fstatvfs(store.dir()).during("look at", COMPOSEFS)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// What is known of an image before its layers are fetched.
pub(crate) struct Documents {
    pub(crate) manifest: RawManifest,
    pub(crate) config: RawConfig,
}

impl Documents {
    /// Its layers that are not in the repository.
    pub(crate) fn missing(&self, store: &Store) -> Result<Vec<&Layer>, ImageError> {
        let missing = composefs_image::missing_layers(store, &self.manifest, &self.config)?;
        let layers = self.manifest.layers();
        Ok(missing
            .into_iter()
            .filter_map(|index| layers.get(index))
            .collect())
    }

    /// What is new in the repository.
    pub(crate) fn space(&self, store: &Store) -> Result<FileSystemPlan, ComposefsPullError> {
        let missing = self.missing(store)?;
        let available =
            space_left(store).map_err(|error| ImageError::from(StoreError::from(error)))?;
        Ok(unpacked(missing.into_iter(), || USUAL_RATIO).on("/", available))
    }
}

/// The same, as far as `agree` has nothing against what is known before anything is fetched.
///
/// # Errors
/// As [`composefs_pull`], and what `agree` said.
pub(crate) fn composefs_pull_if(
    store: &Store,
    image: &OstreeImageReference,
    access: &Access,
    options: &ComposefsPullOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
    agree: impl FnOnce(&Documents) -> Result<(), ComposefsPullError>,
) -> Result<Pulled, ComposefsPullError> {
    if matches!(image.sigverify, SignatureSource::OstreeRemote(_)) {
        return Err(ComposefsPullError::CommitSignature(Box::new(image.clone())));
    }
    let mut context = access.context(&image.imgref, interrupt)?;
    // A pull does not fail because nothing can be kept.
    context.parts = parts_dir(store)
        .ok()
        .and_then(|dir| Parts::open(dir, PartLimits::default(), options.now).ok());
    context.scratch = parts_dir(store).ok().map(Arc::new);
    let source = open(&image.imgref, &context).map_err(Box::new)?;
    let source = source.as_ref();
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    let digest = manifest.digest();
    enforce(image, source, digest, access, &context, options.now)?;
    let config = source.config(&manifest).map_err(Box::new)?;
    let documents = Documents { manifest, config };
    agree(&documents)?;
    let Documents { manifest, config } = documents;
    let mut choices = composefs_image::PullOptions::default();
    let name = options.name.clone();
    choices.name = Some(name.unwrap_or_else(|| image.imgref.to_string()));
    choices.bootable = options.bootable;
    let whole = TaskKind::Pull {
        image: format!("{image:#}"),
        layers: manifest.layers().len(),
        present: 0,
    };
    let size = manifest.layers().iter().map(|layer| layer.size).sum();
    let sum = LayerSum::new(progress, whole, size);
    let documents = (&manifest, &config);
    let pulled = composefs_image::pull(store, source, documents, &choices, &sum, interrupt)?;
    sum.done();
    Ok(pulled)
}

fn parts_dir(store: &Store) -> Result<OwnedFd, StoreError> {
    durable::create_dir_all(store.dir(), Path::new(PARTS_DIR), 0o700)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(store.dir(), PARTS_DIR, flags, Mode::empty());
    Ok(dir.during("open", PARTS_DIR)?)
}
