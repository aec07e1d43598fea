use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, RepoMode};
use progress::Interrupted;

use crate::ReadError;

/// Why a checkout was not completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckoutError {
    /// The commit has nothing there.
    #[error("No such file or directory: {path} in commit {commit}")]
    NoSuchDirectory {
        /// The commit.
        commit: Checksum,
        /// The path in it.
        path: String,
    },
    /// Something else is there.
    #[error("{path:?} is there already: File exists")]
    Exists {
        /// The path.
        path: String,
    },
    /// The file cannot be linked, and copies were not wanted.
    #[error("cannot link {path:?}: {}", why_not(*mode))]
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

/// What would have to be otherwise.
fn why_not(mode: RepoMode) -> &'static str {
    match mode {
        RepoMode::Bare => "Bare repository mode cannot hardlink in user checkout mode",
        RepoMode::BareUser | RepoMode::BareUserOnly => {
            "User repository mode requires user checkout mode to hardlink"
        }
        RepoMode::Archive => "archive repositories hold packed files, which cannot be hardlinked",
        RepoMode::BareSplitXattrs => "attributes are kept beside the files of this repository",
    }
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
