use containers::{InvalidId, StoreError};
use error_class::{Classified, ErrorClass};
use layer::LayerError;
use oci::digest::Digest;
use oci::manifest::ManifestError;
use oci::source::Error as SourceError;
use progress::Interrupted;

/// Why an image was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// Its documents contradict each other.
    #[error("the documents of the image contradict each other: {0}")]
    Manifest(#[from] ManifestError),
    /// Its configuration has no digest that podman's storage could number it by.
    #[error("the image cannot be numbered: {0}")]
    Number(#[from] InvalidId),
    /// A layer was not taken in.
    #[error("layer {digest}: {source}")]
    Layer {
        /// The layer's blob.
        digest: Digest,
        /// Why.
        source: Box<LayerError>,
    },
    /// A layer cannot be completed.
    #[error("layer {digest}: {source}")]
    Entry {
        /// The layer's blob.
        digest: Digest,
        /// Why.
        source: containers::EntryProblem,
    },
    /// Something that the image names was not written.
    #[error("{0} of the image was not written")]
    Lost(Digest),
    /// The storage.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Classified for ImageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Number(_) => ErrorClass::Unsupported,
            Self::Lost(_) => ErrorClass::Corrupt,
            Self::Layer { source, .. } => source.class(),
            Self::Entry { source, .. } => source.class(),
            Self::Store(error) => error.class(),
            Self::Interrupted(error) => error.class(),
        }
    }
}
