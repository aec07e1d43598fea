use error_class::{Classified, ErrorClass};
use ostree_format::Checksum;
use progress::Interrupted;

use crate::ReadError;

/// Why a checkout was not completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The commit has no such directory.
    #[error("commit {commit} has no directory {path:?}")]
    NoSuchDirectory {
        /// The commit.
        commit: Checksum,
        /// The path in it.
        path: String,
    },
    /// A file is called `.ostree-wh.` and nothing else.
    #[error("{path:?} is a whiteout of nothing")]
    EmptyWhiteout {
        /// The path, escaped.
        path: String,
    },
    /// An object could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for CheckoutError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchDirectory { .. } => ErrorClass::NotFound,
            Self::EmptyWhiteout { .. } => ErrorClass::InvalidInput,
            Self::Read(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
