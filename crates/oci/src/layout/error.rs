//! What can be wrong with an image in files.

use error_class::{Classified, ErrorClass};

use crate::digest::{Digest, DigestParseError};
use crate::files::FileError;
use crate::platform::NoSuchPlatform;
use crate::reference::Selector;

/// A directory or archive is not an image, does not have the wanted one, or is incomplete.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file that every image of this kind has is missing.
    #[error("this is not an image: there is no {0}")]
    NotALayout(&'static str),
    /// The layout is of a version that is not known.
    #[error("layout version {0:?} is not supported")]
    Version(String),
    /// A file is not what it should be.
    #[error("{file} is malformed: {cause}")]
    Json {
        /// The file.
        file: &'static str,
        /// Where and why.
        cause: serde_json::Error,
    },
    /// There are images, but not the wanted one.
    #[error("there is no {wanted}{}", instead(.present))]
    NoSuchImage {
        /// What was asked for.
        wanted: Selector,
        /// The names that there are.
        present: Vec<String>,
    },
    /// There are several images and nothing says which is meant.
    #[error("there are several images, append one of the names: {}", .0.join(", "))]
    SeveralImages(Vec<String>),
    /// Several images have the wanted name, and none suits the platform.
    #[error(transparent)]
    Platform(#[from] NoSuchPlatform),
    /// A digest in a file is none.
    #[error("{file} refers to something by a bad digest: {cause}")]
    Digest {
        /// The file.
        file: &'static str,
        /// What is wrong with the digest.
        cause: DigestParseError,
    },
    /// A blob is missing.
    #[error("{0} is missing")]
    MissingBlob(Digest),
    /// A file that `manifest.json` names is missing or not usable.
    #[error("{path}, which manifest.json refers to, is missing")]
    MissingFile {
        /// The file.
        path: String,
    },
    /// A blob has another size than its descriptor says.
    #[error("{digest} has {actual} bytes instead of {size}")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// What the descriptor says.
        size: u64,
        /// What there is.
        actual: u64,
    },
    /// The image and its configuration disagree on the number of layers.
    #[error("manifest.json has {layers} layers, the image configuration {diff_ids}")]
    LayerCount {
        /// In `manifest.json`.
        layers: usize,
        /// In the configuration.
        diff_ids: usize,
    },
}

fn instead(present: &[String]) -> String {
    if present.is_empty() {
        return String::new();
    }
    format!("; there is: {}", present.join(", "))
}

impl Classified for LayoutError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::File(cause) => cause.class(),
            Self::NoSuchImage { .. } => ErrorClass::NotFound,
            Self::SeveralImages(_) | Self::NotALayout(_) => ErrorClass::InvalidInput,
            Self::Version(_) => ErrorClass::Unsupported,
            Self::Platform(cause) => cause.class(),
            _ => ErrorClass::Corrupt,
        }
    }
}
