//! Bringing an image into the composefs repository.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use composefs::{Store, StoreError};
use composefs_image::{ImageError, Pulled};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use oci::parts::{PartLimits, Parts};
use oci::reference::{OstreeImageReference, SignatureSource};
use oci::source::{Error as SourceError, open};
use progress::{Interrupt, Progress, TaskKind};
use rustix::fs::{Mode, OFlags};

use crate::image_explain::enforce;
use crate::layer_sum::LayerSum;
use crate::upgrade_plan::{USUAL_RATIO, Unpacked, unpacked};
use crate::{Access, AccessError, TrustError};

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
    /// There is not enough space for what would be fetched.
    #[error(
        "not enough space: at least {needed} bytes are new in the composefs repository, and {available} bytes are free \
         there; space can be made by `bootroot composefs prune`, and by `bootroot composefs remove` before it"
    )]
    NoSpace {
        /// What is needed at least.
        needed: u64,
        /// What is free.
        available: u64,
    },
    /// It cannot be stored.
    #[error(transparent)]
    Image(#[from] ImageError),
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
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::Image(error) => error.class(),
        }
    }
}

/// Brings an image into the composefs repository. Layers that are there already are not fetched.
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
    let missing = composefs_image::missing_layers(store, &manifest, &config)?;
    let missing = missing.into_iter();
    let missing = missing.filter_map(|index| manifest.layers().get(index));
    has_room(store, &unpacked(missing, || USUAL_RATIO), progress)?;
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

/// Whether what is new has room, before it is fetched.
fn has_room(
    store: &Store,
    new: &Unpacked,
    progress: &dyn Progress,
) -> Result<(), ComposefsPullError> {
    // Where that cannot be told, writing tells.
    let Ok(stat) = rustix::fs::fstatvfs(store.dir()) else {
        return Ok(());
    };
    let available = stat.f_bavail.saturating_mul(stat.f_frsize);
    if new.at_least > available {
        return Err(ComposefsPullError::NoSpace {
            needed: new.at_least,
            available,
        });
    }
    if new.likely > available {
        progress.note(&format!(
            "space may not suffice: about {} bytes are new in the composefs repository, and {available} bytes are free \
             there",
            new.likely
        ));
    }
    Ok(())
}

fn parts_dir(store: &Store) -> Result<OwnedFd, StoreError> {
    durable::create_dir_all(store.dir(), Path::new(PARTS_DIR), 0o700)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(store.dir(), PARTS_DIR, flags, Mode::empty());
    Ok(dir.during("open", PARTS_DIR)?)
}
