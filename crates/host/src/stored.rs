//! An image that must be stored.

use error_class::{Classified, ErrorClass};
use image::{LayeredImageState, QueryError, query_image};
use oci::reference::ImageReference;
use ostree::Repo;

/// Why there is no answer about an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoredError {
    /// There is no such image.
    #[error("image {0} is not stored")]
    NotStored(ImageReference),
    /// It cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Classified for StoredError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotStored(_) => ErrorClass::NotFound,
            Self::Query(error) => error.class(),
        }
    }
}

/// What is known about an image, which must be stored.
pub(crate) fn stored(
    repo: &Repo,
    image: &ImageReference,
) -> Result<LayeredImageState, StoredError> {
    query_image(repo, image)?.ok_or_else(|| StoredError::NotStored(image.clone()))
}
