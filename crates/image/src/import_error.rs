//! Why a pull fails.

use error_class::{Classified, ErrorClass};
use layer::{LayerError, TapError};
use oci::digest::Digest;
use oci::source::Error as SourceError;
use ostree::{ReadError, WriteError};
use progress::Interrupted;

use crate::labels::PolicyError;
use crate::merge::MergeError;
use crate::query::QueryError;
use crate::refs::RefNameError;

/// Why a plan was not carried out. Layers that were complete are stored and not fetched again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A layer is damaged or holds what cannot be stored.
    #[error("layer {digest}: {source}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What is wrong.
        source: Box<LayerError>,
    },
    /// A layer could not be fetched whole.
    #[error("layer {digest}: {source}")]
    Blob {
        /// The layer.
        digest: Digest,
        /// What is wrong.
        source: Box<SourceError>,
    },
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The layers do not give a tree.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The image's SELinux policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is not enough space for what is to be fetched.
    #[error(
        "not enough space: {needed} bytes are to be fetched, {available} bytes are available above the \
         repository's reserve; free some space, for example by removing images"
    )]
    NoSpace {
        /// Compressed bytes to fetch.
        needed: u64,
        /// Bytes that may be written.
        available: u64,
    },
    /// The repository did not take something.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something that is stored cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was written cannot be described.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Another store did not take in the layers.
    #[error(transparent)]
    Beside(#[from] Box<TapError>),
    /// The image has a name that no ref can have.
    #[error(transparent)]
    Name(#[from] RefNameError),
    /// The plan does not belong to the image.
    #[error("the plan does not fit the image's manifest")]
    Planless,
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ImportError {
    pub(crate) fn layer(digest: &Digest, source: LayerError) -> Self {
        Self::Layer {
            digest: digest.clone(),
            source: Box::new(source),
        }
    }

    pub(crate) fn blob(digest: &Digest, source: SourceError) -> Self {
        Self::Blob {
            digest: digest.clone(),
            source: Box::new(source),
        }
    }
}

impl Classified for ImportError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Layer { source, .. } => source.class(),
            Self::Blob { source, .. } | Self::Source(source) => source.class(),
            Self::Merge(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::Write(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Query(error) => error.class(),
            Self::Beside(error) => error.class(),
            Self::Name(error) => error.class(),
            Self::Planless => ErrorClass::InvalidInput,
            Self::Interrupted(error) => error.class(),
        }
    }
}
