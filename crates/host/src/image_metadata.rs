//! The documents of a stored image.

use image_trust::Verdict;
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
    /// Who vouched for it when it was pulled; null when nobody was asked.
    Verdict(Box<Option<Verdict>>),
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

/// What was found about the signatures of a stored image when it was pulled.
///
/// # Errors
/// [`StoredError`].
pub fn image_verdict(repo: &Repo, image: &ImageReference) -> Result<Document, StoredError> {
    let state = stored(repo, image)?;
    let text = ::image::recorded_verdict(repo, &state.merge_commit)?;
    // What is not understood was not written here.
    let verdict = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(Document::Verdict(Box::new(verdict)))
}
