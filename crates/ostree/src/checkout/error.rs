use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, RepoMode};
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
    /// Something else is there.
    #[error("{path:?} exists already")]
    Exists {
        /// The path.
        path: String,
    },
    /// The file cannot be linked, and copies were not wanted.
    #[error("{path:?} cannot be linked from a repository of mode {mode} in this kind of checkout")]
    NotLinkable {
        /// The path.
        path: String,
        /// The repository's mode.
        mode: RepoMode,
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
            Self::EmptyWhiteout { .. } | Self::Exists { .. } => ErrorClass::InvalidInput,
            Self::NotLinkable { .. } => ErrorClass::Unsupported,
            Self::Read(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
