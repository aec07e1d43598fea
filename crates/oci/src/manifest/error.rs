//! What can be wrong with a manifest, an index or a configuration.

use error_class::{Classified, ErrorClass};

use crate::digest::{Digest, DigestParseError};
use crate::media_type::LayerTypeError;

/// A document is not what it should be. The digest is that of the document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is not JSON, or lacks something required.
    #[error("{digest} is malformed: {cause}")]
    Json {
        /// The document.
        digest: Digest,
        /// Where and why.
        cause: serde_json::Error,
    },
    /// It is of a version that is not read, like Docker's version 2 schema 1.
    #[error("manifest {digest} has schema version {version}; only version 2 is supported")]
    SchemaVersion {
        /// The document.
        digest: Digest,
        /// Its version.
        version: u64,
    },
    /// It could be taken for an image and for an index, or for neither, or contradicts its media
    /// type.
    #[error("manifest {0} is ambiguous: image or index, its content and media types disagree")]
    Ambiguous(Digest),
    /// It describes something else: an artifact, a chart, a signature.
    #[error("{digest} is not a container image but has media type {media_type:?}")]
    NotAnImage {
        /// The document.
        digest: Digest,
        /// Of the document or of its configuration.
        media_type: String,
    },
    /// A digest in it is none.
    #[error("{digest} refers to something by a bad digest: {cause}")]
    Digest {
        /// The document.
        digest: Digest,
        /// What is wrong with the digest.
        cause: DigestParseError,
    },
    /// A layer cannot be read.
    #[error("layer {index} of manifest {digest}: {cause}")]
    Layer {
        /// The manifest.
        digest: Digest,
        /// The position of the layer, from 0.
        index: usize,
        /// Why.
        cause: LayerTypeError,
    },
    /// Manifest and configuration disagree on the number of layers.
    #[error("manifest {digest} has {layers} layers, its configuration {diff_ids}")]
    LayerCount {
        /// The manifest.
        digest: Digest,
        /// In the manifest.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
    /// Indexes refer to indexes too deeply.
    #[error("index {0} is nested too deeply")]
    Nesting(Digest),
}

impl Classified for ManifestError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::SchemaVersion { .. } | Self::NotAnImage { .. } => ErrorClass::Unsupported,
            Self::Layer { cause, .. } => cause.class(),
            _ => ErrorClass::Corrupt,
        }
    }
}
