//! Opening the place that a reference names for writing an image.

use error_class::{Classified, ErrorClass};

use crate::archive::OciArchiveWriter;
use crate::context::Context;
use crate::layout::OciDirWriter;
use crate::reference::{ImageReference, PathReference, Selector, Transport};
use crate::registry::{RegistryWriter, full_name};
use crate::sink::{ImageSink, WriteError};

/// Why an image cannot be written to a place.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// Images are not written by this transport.
    #[error(
        "images cannot be written to {0}; use registry:HOST/NAME[:TAG], oci:PATH[:TAG] or oci-archive:PATH[:TAG]"
    )]
    Transport(ImageReference),
    /// The reference names an image by what cannot be known before it is written.
    #[error("{0} names an image by digest or position; name it by a tag, or not at all")]
    Selector(ImageReference),
    /// The name is not one of an image in a registry, or configuration is against it.
    #[error(transparent)]
    Name(#[from] Box<crate::source::Error>),
    /// The place cannot be written to.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Classified for DestinationError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Transport(_) => ErrorClass::Unsupported,
            Self::Selector(_) => ErrorClass::InvalidInput,
            Self::Name(error) => error.class(),
            Self::Write(error) => error.class(),
        }
    }
}

/// Where an image is to be written, and the tag it gets.
pub struct Destination {
    /// The place.
    pub sink: Box<dyn ImageSink>,
    /// The tag, if the reference has one.
    pub tag: Option<String>,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

/// Open the directory, archive or repository of a registry that `reference` names, new or existing.
///
/// # Errors
/// [`DestinationError`].
pub fn create(
    reference: &ImageReference,
    context: &Context,
) -> Result<Destination, DestinationError> {
    if reference.transport == Transport::Registry {
        return in_registry(reference, context);
    }
    let name = PathReference::parse(&reference.name);
    let tag = match name.selector {
        Selector::Only => None,
        Selector::Name(tag) => Some(tag),
        Selector::Digest(_) | Selector::Position(_) => {
            return Err(DestinationError::Selector(reference.clone()));
        }
    };
    let sink: Box<dyn ImageSink> = match reference.transport {
        Transport::OciDir => Box::new(OciDirWriter::create(context.files(), &name.path)?),
        Transport::OciArchive => Box::new(OciArchiveWriter::create(context.files(), &name.path)?),
        _ => return Err(DestinationError::Transport(reference.clone())),
    };
    Ok(Destination { sink, tag })
}

fn in_registry(
    reference: &ImageReference,
    context: &Context,
) -> Result<Destination, DestinationError> {
    let name = full_name(reference, context).map_err(Box::new)?;
    if name.digest().is_some() {
        return Err(DestinationError::Selector(reference.clone()));
    }
    let writer = RegistryWriter::create(reference, context).map_err(Box::new)?;
    Ok(Destination {
        sink: Box::new(writer),
        tag: Some(name.wanted()),
    })
}
