//! Where images are written to, whatever the transport.

use std::io::Write;

use error_class::{Classified, ErrorClass};
use oci_spec::image::{Descriptor, MediaType};

use crate::digest::Digest;
use crate::reference::ImageReference;

/// An image being written: blobs first, in any order, then the manifest among them, then
/// [`ImageSink::finish`]. Dropped before that, it leaves no image, though blobs may stay.
pub trait ImageSink {
    /// Whether the destination has this blob already.
    ///
    /// # Errors
    /// The destination cannot be looked at.
    fn has_blob(&self, digest: &Digest) -> Result<bool, WriteError>;

    /// Gets a blob that the image `from` has without its bytes going through here, if that is possible;
    /// whether the destination has it now.
    ///
    /// # Errors
    /// The destination cannot be looked at, or fails.
    fn take_over(&mut self, digest: &Digest, from: &ImageReference) -> Result<bool, WriteError> {
        let _elsewhere = from;
        self.has_blob(digest)
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// The destination cannot be written to.
    fn blob(&mut self) -> Result<Box<dyn BlobSink + '_>, WriteError>;

    /// Begins the blob of a layer, for places that do more with layers than to keep them.
    ///
    /// # Errors
    /// The destination cannot be written to.
    fn layer(&mut self) -> Result<Box<dyn BlobSink + '_>, WriteError> {
        self.blob()
    }

    /// Makes the image that this manifest (or index) describes visible, under a tag if there is
    /// one. An image that had the tag before loses it.
    ///
    /// # Errors
    /// The destination cannot be written to; an image that was there before still is.
    fn finish(self: Box<Self>, manifest: &Descriptor, tag: Option<&str>) -> Result<(), WriteError>;
}

/// A blob being written. Dropped before [`BlobSink::finish`], it leaves nothing.
pub trait BlobSink: Write {
    /// Ends the blob and gives it its name. A blob that is there already is kept.
    ///
    /// # Errors
    /// The destination cannot be written to.
    fn finish(self: Box<Self>) -> Result<Written, WriteError>;
}

/// A blob that has been written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its SHA-256 digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Written {
    /// The descriptor to refer to the blob by.
    #[must_use]
    pub fn descriptor(&self, media_type: MediaType) -> Descriptor {
        Descriptor::new(media_type, self.size, &self.digest)
    }
}

/// An image cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
    /// The destination has an `index.json` that cannot be extended.
    #[error("index.json of the existing image layout is malformed: {0}")]
    Index(#[source] serde_json::Error),
    /// A registry does not take it.
    #[error(transparent)]
    Registry(Box<crate::registry::Error>),
    /// A place that is no layout does not take it.
    #[error("{source}")]
    Place {
        /// The kind of failure.
        class: ErrorClass,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is to be written has no JSON form.
    #[error("cannot encode {what}: {cause}")]
    Encode {
        /// The document.
        what: &'static str,
        /// Why.
        cause: std::io::Error,
    },
}

impl Classified for WriteError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Io(cause) => cause.class(),
            Self::Registry(cause) => cause.class(),
            Self::Place { class, .. } => *class,
            Self::Index(_) => ErrorClass::Corrupt,
            Self::Encode { .. } => ErrorClass::InvalidInput,
        }
    }
}
