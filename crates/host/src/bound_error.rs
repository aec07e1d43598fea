//! Why the images that a system binds are not there.

use std::path::PathBuf;

use containers::{BOUND_IMAGES, BoundImageError, StoreError};
use containers_image::ImageError;
use error_class::{Classified, ErrorClass};
use oci::reference::RegistryReferenceError;
use oci::source::Error as SourceError;
use ostree::ReadError;
use sysroot::LoadError;

use crate::{AccessError, TrustError};

/// Images that a system binds are not there. It does not boot then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoundError {
    /// It is a file, where there have to be links.
    #[error("{BOUND_IMAGES}/{0} of the image is no symbolic link")]
    NoLink(String),
    /// A link leads nowhere.
    #[error("{BOUND_IMAGES}/{0} of the image leads to no file")]
    Dangling(String),
    /// A unit cannot be understood.
    #[error("{BOUND_IMAGES}/{file} of the image is damaged")]
    Unit {
        /// Its name.
        file: String,
        /// What is wrong.
        #[source]
        source: BoundImageError,
    },
    /// The name of an image cannot be understood.
    #[error("the bound image {image:?} cannot be understood")]
    Name {
        /// The name.
        image: String,
        /// What is wrong.
        #[source]
        source: RegistryReferenceError,
    },
    /// It is not known which image that is.
    #[error("cannot find the bound image {image}; nothing was staged")]
    Resolve {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: Box<SourceError>,
    },
    /// It is not signed as it has to be.
    #[error("the bound image {image} is not taken; nothing was staged")]
    Trust {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: Box<TrustError>,
    },
    /// It is gone again.
    #[error("the bound image {0} is not in the store any more; repeat the command")]
    Gone(String),
    /// There is no room.
    #[error(
        "the bound images need {needed} bytes more in {}, where {available} bytes are free; nothing was staged",
        .store.display()
    )]
    NoSpace {
        /// What is new, at least.
        needed: u64,
        /// What is free.
        available: u64,
        /// Where.
        store: PathBuf,
    },
    /// They were not fetched.
    #[error("the bound images were not fetched; nothing was staged")]
    Fetch(#[source] Box<ImageError>),
    /// The store cannot be used.
    #[error("{0}; nothing was staged")]
    Store(#[from] StoreError),
    /// The registry cannot be reached as it is configured.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The policy that labels follow cannot be used.
    #[error(transparent)]
    Policy(#[from] ::image::PolicyError),
    /// What is deployed cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Somebody wants this to end.
    #[error(transparent)]
    Interrupted(#[from] progress::Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for BoundError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoLink(_) | Self::Dangling(_) | Self::Unit { .. } | Self::Name { .. } => {
                ErrorClass::Corrupt
            }
            Self::Resolve { source, .. } => source.class(),
            Self::Trust { source, .. } => source.class(),
            Self::Gone(_) => ErrorClass::NotFound,
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::Fetch(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Access(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::Load(error) => error.class(),
            Self::Interrupted(_) => ErrorClass::Interrupted,
            Self::Io(error) => error.class(),
        }
    }
}
