use std::path::PathBuf;

use error_class::{Classified, ErrorClass};
use ostree_format::Checksum;
use progress::Interrupted;

use crate::{ReadError, WriteError};

/// Why a directory was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitDirError {
    /// Something that OSTree cannot hold: a device, a socket, a pipe.
    #[error("{path:?} is neither a regular file nor a symbolic link nor a directory")]
    FileType {
        /// Where it is.
        path: PathBuf,
    },
    /// A name or a link's target that is not UTF-8, which OSTree requires.
    #[error("Invalid UTF-8 in filename or link target {path:?}: OSTree cannot store it")]
    NotUtf8 {
        /// Where it is.
        path: PathBuf,
    },
    /// Directories are nested more deeply than a tree may be.
    #[error("{path:?} is nested too deeply (more than 256 directories)")]
    TooDeep {
        /// Where it is.
        path: PathBuf,
    },
    /// The policy has no label for a file.
    #[error("no SELinux label for {path:?}")]
    Unlabelled {
        /// The file.
        path: PathBuf,
    },
    /// The walk ended because a file could not be written; never the first error.
    #[error("stopped at {path:?}")]
    Stopped {
        /// Where the walk was.
        path: PathBuf,
    },
    /// An object could not be written.
    #[error("cannot commit {path:?}: {source}")]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<WriteError>,
    },
    /// The object that a file is linked to could not be read.
    #[error("cannot commit a link to {object}: {source}")]
    Linked {
        /// The object.
        object: Checksum,
        /// Why.
        #[source]
        source: Box<ReadError>,
    },
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for CommitDirError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::FileType { .. }
            | Self::NotUtf8 { .. }
            | Self::TooDeep { .. }
            | Self::Unlabelled { .. }
            | Self::Stopped { .. } => ErrorClass::InvalidInput,
            Self::Write { source, .. } => source.class(),
            Self::Linked { source, .. } => source.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
