use std::io;

use error_class::{Classified, ErrorClass};
use ostree::ReadError;
use ostree_format::{Checksum, ObjectName};
use progress::Interrupted;

/// Why objects were not written into a layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// An object cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object is not what its name says.
    #[error(
        "object {name} is damaged: its content is that of {actual}; repair the repository first"
    )]
    Damaged {
        /// The object.
        name: ObjectName,
        /// What the content hashes to.
        actual: Checksum,
    },
    /// The content of an object cannot be read, or is shorter or longer than it should be.
    #[error("cannot copy object {name}: {source}")]
    Copy {
        /// The object.
        name: ObjectName,
        /// Why.
        source: io::Error,
    },
    /// The layer cannot be written.
    #[error("cannot write the layer: {0}")]
    Write(#[from] io::Error),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Classified for ExportError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::Copy { source, .. } => match source.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => ErrorClass::Corrupt,
                _ => source.class(),
            },
            Self::Write(error) => error.class(),
            Self::Interrupted(error) => error.class(),
        }
    }
}
