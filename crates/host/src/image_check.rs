//! Whether a stored image is whole, and mending it.

use error_class::{Classified, ErrorClass};
use image::{CheckError, ImageCheck, ImportOptions, QueryError, check_image, repair_image};
use oci::reference::ImageReference;
use oci::source::Error as SourceError;
use ostree::Repo;
use progress::{Interrupt, Progress};
use serde::Serialize;

use crate::image_explain::{by_policy, enforce};
use crate::stored::stored;
use crate::{Access, AccessError, StoredError, TrustError};

/// What was found about a stored image (`docs/image-integrity.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Verified {
    schema: &'static str,
    /// The image.
    pub image: String,
    /// Whether nothing is wrong, by now.
    pub whole: bool,
    /// Whether something was wrong and has been brought back.
    pub repaired: bool,
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Layers with something wrong.
    pub damaged_layers: Vec<DamagedLayer>,
    /// What is wrong besides layers.
    pub problems: Vec<String>,
}

/// A layer with something wrong.
#[derive(Debug, Clone, Serialize)]
pub struct DamagedLayer {
    /// The digest of the blob.
    pub digest: String,
    /// What is wrong.
    pub problems: Vec<String>,
}

/// Why an image was not checked or not mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The image is not stored.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// It cannot be checked or mended.
    #[error(transparent)]
    Check(#[from] Box<CheckError>),
    /// The way to the image.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The policy does not take the image any more.
    #[error(transparent)]
    Trust(#[from] TrustError),
}

impl Classified for VerifyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Stored(error) => error.class(),
            Self::Check(error) => error.class(),
            Self::Access(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Trust(error) => error.class(),
        }
    }
}

/// Reads and hashes every object of a stored image.
///
/// # Errors
/// [`VerifyError`]; what is wrong with the image is in what is returned.
pub fn image_check(
    repo: &Repo,
    image: &ImageReference,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Verified, VerifyError> {
    let found = check(repo, image, progress, interrupt)?;
    Ok(verified(image, &found, &found))
}

/// Checks a stored image and fetches again what is missing or damaged, from where the image came. It must
/// be signed as the policy asks by now (seconds since 1970).
///
/// # Errors
/// [`VerifyError`]; then layers that lack something have no ref any more, and the next repair goes on.
pub fn image_repair(
    repo: &Repo,
    image: &ImageReference,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Verified, VerifyError> {
    let before = check(repo, image, progress, interrupt)?;
    if before.is_whole() {
        return Ok(verified(image, &before, &before));
    }
    // The tag may name another image by now; a registry still has the old one under its digest.
    let digest = stored(repo, image)?.manifest_digest;
    let wanted = image.pinned(&digest).unwrap_or_else(|| image.clone());
    let context = access.context(&wanted, interrupt)?;
    let source = oci::source::open(&wanted, &context).map_err(Box::new)?;
    let options = ImportOptions::default();
    let source = source.as_ref();
    let asked = by_policy(wanted);
    enforce(&asked, source, &digest, access, &context, now)?;
    repair_image(repo, image, &before, source, &options, progress, interrupt).map_err(Box::new)?;
    let after = check(repo, image, progress, interrupt)?;
    Ok(verified(image, &before, &after))
}

fn check(
    repo: &Repo,
    image: &ImageReference,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<ImageCheck, VerifyError> {
    check_image(repo, image, progress, interrupt).map_err(|error| match error {
        CheckError::Query(QueryError::NotStored(image)) => StoredError::NotStored(image).into(),
        other => Box::new(other).into(),
    })
}

fn verified(image: &ImageReference, before: &ImageCheck, after: &ImageCheck) -> Verified {
    let damaged = after
        .layers
        .iter()
        .filter(|layer| !layer.problems.is_empty());
    Verified {
        schema: "bootroot.image-integrity/1",
        image: image.to_string(),
        whole: after.is_whole(),
        repaired: !before.is_whole() && after.is_whole(),
        objects: after.objects,
        damaged_layers: damaged
            .map(|layer| DamagedLayer {
                digest: layer.digest.to_string(),
                problems: layer.problems.clone(),
            })
            .collect(),
        problems: after.merged.clone(),
    }
}
