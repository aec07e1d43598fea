//! What can go wrong when an image is fetched.

use std::io;

use error_class::{Classified, ErrorClass};
use progress::Interrupted;

use crate::digest::{Digest, DigestParseError, VerifyError};
use crate::layout::LayoutError;
use crate::manifest::ManifestError;
use crate::platform::NoSuchPlatform;
use crate::reference::{ImageReference, OstreeImageReference, RegistryReferenceError};
use crate::skopeo::SkopeoError;
use crate::{registries, registry};

/// An image cannot be fetched: one case for each thing that the layers below can report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another program, which the transport needs, did not bring the image.
    #[error(transparent)]
    Skopeo(Box<SkopeoError>),
    /// The image must be verified by the container policy, which is not implemented.
    #[error("image {0}: verification by container policy is not supported")]
    PolicyUnsupported(Box<OstreeImageReference>),
    /// What this machine has of the image is not whole, and nothing is to be fetched.
    #[error("image {0} is not whole on this machine any more; pull it again")]
    OnlyHere(ImageReference),
    /// The name is not a registry reference.
    #[error(transparent)]
    Name(#[from] RegistryReferenceError),
    /// Configuration does not let it be fetched.
    #[error(transparent)]
    Registries(#[from] registries::SourceError),
    /// A registry, or the way to it, failed.
    #[error(transparent)]
    Registry(#[from] Box<registry::Error>),
    /// A directory or archive is not an image, or not the wanted one, or cannot be read.
    #[error("image {reference}: {cause}")]
    Layout {
        /// The image.
        reference: ImageReference,
        /// What is wrong.
        cause: Box<LayoutError>,
    },
    /// A manifest, an index or the configuration is not acceptable.
    #[error("image {reference}: {cause}")]
    Manifest {
        /// The image.
        reference: ImageReference,
        /// What is wrong.
        cause: Box<ManifestError>,
    },
    /// There is no image for the platform.
    #[error("image {reference}: {cause}")]
    Platform {
        /// The image.
        reference: ImageReference,
        /// What was wanted and what there is.
        cause: Box<NoSuchPlatform>,
    },
    /// Content has another digest or size than promised.
    #[error("image {reference}: {cause}")]
    Content {
        /// The image.
        reference: ImageReference,
        /// Which content, and how it differs.
        cause: Box<VerifyError>,
    },
    /// A descriptor has a digest that is none.
    #[error("image {reference}: {cause}")]
    Digest {
        /// The image.
        reference: ImageReference,
        /// The digest.
        cause: DigestParseError,
    },
    /// Something that is read as a whole is larger than anything sensible.
    #[error("image {reference}: {digest} has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The image.
        reference: ImageReference,
        /// The content.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// What is accepted, in bytes.
        limit: u64,
    },
    /// Reading content failed.
    #[error("image {reference}: cannot read content: {cause}")]
    Read {
        /// The image.
        reference: ImageReference,
        /// Why.
        cause: io::Error,
    },
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    /// The error inside one that came through a reader of [`open_blob`], which knows more than its
    /// kind does.
    ///
    /// [`open_blob`]: crate::source::ImageSource::open_blob
    #[must_use]
    pub fn cause_of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What a failed read of this image's content means.
    #[must_use]
    pub fn from_stream(reference: &ImageReference, error: io::Error) -> Self {
        if Interrupted::is_cause_of(&error) {
            return Self::Interrupted(Interrupted);
        }
        let reference = reference.clone();
        if let Some(cause) = VerifyError::cause_of(&error).cloned() {
            let cause = Box::new(cause);
            return Self::Content { reference, cause };
        }
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(cause) => Self::Read { reference, cause },
        }
    }
}

/// Interrupts stay what they are; everything else is wrapped, under the kind that suits its class.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.class() {
            ErrorClass::Interrupted => return Interrupted.into(),
            ErrorClass::NotFound => io::ErrorKind::NotFound,
            ErrorClass::Corrupt => io::ErrorKind::InvalidData,
            ErrorClass::InvalidInput => io::ErrorKind::InvalidInput,
            ErrorClass::Unsupported => io::ErrorKind::Unsupported,
            ErrorClass::Denied
            | ErrorClass::Forbidden
            | ErrorClass::Tls
            | ErrorClass::Unauthenticated
            | ErrorClass::Untrusted => io::ErrorKind::PermissionDenied,
            ErrorClass::Timeout => io::ErrorKind::TimedOut,
            ErrorClass::Network | ErrorClass::NoAddress | ErrorClass::RateLimited => {
                io::ErrorKind::ConnectionAborted
            }
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Skopeo(cause) => cause.class(),
            Self::PolicyUnsupported(_) => ErrorClass::Unsupported,
            Self::OnlyHere(_) => ErrorClass::NotFound,
            Self::Name(cause) => cause.class(),
            Self::Registries(cause) => cause.class(),
            Self::Registry(cause) => cause.class(),
            Self::Layout { cause, .. } => cause.class(),
            Self::Manifest { cause, .. } => cause.class(),
            Self::Platform { cause, .. } => cause.class(),
            Self::Content { cause, .. } => cause.class(),
            Self::Digest { cause, .. } => cause.class(),
            Self::TooLarge { .. } => ErrorClass::Corrupt,
            Self::Read { cause, .. } => cause.class(),
            Self::Interrupted(cause) => cause.class(),
        }
    }
}
