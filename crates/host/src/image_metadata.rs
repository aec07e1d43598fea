//! The documents of a stored image.

use oci::reference::ImageReference;
use ostree::Repo;
use serde::Serialize;

use crate::stored::{StoredError, stored};

/// A document of an image, as its publisher wrote it but for spaces and order.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Document {
    /// Which blobs it has.
    Manifest(Box<oci::spec::ImageManifest>),
    /// How it is run, and what its layers are.
    Config(Box<oci::spec::ImageConfiguration>),
}

/// The manifest of a stored image, or its config.
///
/// # Errors
/// [`StoredError`].
pub fn image_metadata(
    repo: &Repo,
    image: &ImageReference,
    config: bool,
) -> Result<Document, StoredError> {
    let state = stored(repo, image)?;
    Ok(if config {
        Document::Config(Box::new(state.configuration))
    } else {
        Document::Manifest(Box::new(state.manifest))
    })
}
