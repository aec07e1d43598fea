use composefs::StoreError;
use composefs_format::{ImageError as FormatError, StreamError};
use error_class::{Classified, ErrorClass};
use layer::LayerError;
use oci::digest::Digest;
use oci::manifest::ManifestError;
use oci::source::Error as SourceError;
use progress::Interrupted;

/// Why a container image cannot be used or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// Its documents contradict each other.
    #[error("the documents of the image contradict each other: {0}")]
    Manifest(#[from] ManifestError),
    /// A layer was not taken in.
    #[error("layer {digest}: {source}")]
    Layer {
        /// The layer's blob.
        digest: Digest,
        /// Why.
        source: Box<LayerError>,
    },
    /// A stored layer has an entry that no root can have.
    #[error("entry {path:?}: {reason}")]
    Entry {
        /// Where, escaped.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The archive of a stored layer cannot be read.
    #[error("the archive of a stored layer is malformed: {0}")]
    Archive(String),
    /// The root lacks a directory that it must have.
    #[error("the image has no directory /{0}; build it from a base image of an operating system")]
    NoDirectory(&'static str),
    /// The SELinux policy in the image cannot be used.
    #[error("the SELinux policy of the image cannot be used: {0}")]
    Policy(String),
    /// There is no such image.
    #[error("image {0} is not stored; `bootroot composefs list` shows what is")]
    NotFound(String),
    /// What is stored lacks something.
    #[error("the stored image {digest} lacks {what}; pull it again")]
    Incomplete {
        /// Its manifest.
        digest: String,
        /// What.
        what: String,
    },
    /// Another program's images may have layers that are no archives.
    #[error("{0} is no image of a root")]
    Artifact(Digest),
    /// The form of images cannot hold the root.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A stream cannot be read.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The repository.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The compressor failed.
    #[error("cannot compress: {0}")]
    Compress(std::io::Error),
    /// The repository of commits, whose files are shared.
    #[error(transparent)]
    Read(#[from] ostree::ReadError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ImageError {
    pub(crate) fn entry(path: &[u8], reason: &'static str) -> Self {
        Self::Entry {
            path: path.escape_ascii().to_string(),
            reason,
        }
    }
}

impl Classified for ImageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Layer { source, .. } => source.class(),
            Self::Entry { .. } | Self::NoDirectory(_) | Self::Policy(_) | Self::Artifact(_) => {
                ErrorClass::InvalidInput
            }
            Self::Archive(_) | Self::Incomplete { .. } => ErrorClass::Corrupt,
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Format(error) => error.class(),
            Self::Stream(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Compress(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Interrupted(error) => error.class(),
        }
    }
}
