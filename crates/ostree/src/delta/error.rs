use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, ObjectName};
use static_delta::{DeltaError, DeltaName};

use crate::{ReadError, WriteError};

/// Why a static delta cannot be found, applied or indexed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaApplyError {
    /// There is none of that name.
    #[error("Can't find delta {0}")]
    NotFound(DeltaName),
    /// A part's file is not there.
    #[error("the part {0:?} of the static delta is missing")]
    PartMissing(String),
    /// The superblock is that of another delta.
    #[error("the static delta is {found}, but {wanted} was asked for")]
    OtherDelta {
        /// What was asked for.
        wanted: DeltaName,
        /// What the superblock says.
        found: DeltaName,
    },
    /// The commit that the delta starts from is not here.
    #[error("Commit {0}, which is the delta source, is not in repository")]
    SourceMissing(Checksum),
    /// The delta leaves objects to be fetched, which needs a remote.
    #[error("Cannot execute delta offline: contains nonempty http fallback entries ({0} objects)")]
    Fallbacks(usize),
    /// The delta needs other deltas to be applied before, which nothing writes.
    #[error("the static delta depends on {0} others, which is not supported")]
    Dependencies(usize),
    /// The commit in the superblock is not the one that the delta leads to.
    #[error("the static delta contains the commit {found}, but leads to {wanted}")]
    OtherCommit {
        /// What the delta leads to.
        wanted: Checksum,
        /// What the commit hashes to.
        found: Checksum,
    },
    /// An operation makes another object than the superblock lists.
    #[error("the static delta makes {wanted} of content that is that of {found}")]
    OtherObject {
        /// What is listed.
        wanted: ObjectName,
        /// What the content hashes to.
        found: Checksum,
    },
    /// An object is none.
    #[error("the static delta contains a damaged object {name}: {source}")]
    DamagedObject {
        /// What is listed.
        name: ObjectName,
        /// What is wrong with it.
        #[source]
        source: ostree_format::FormatError,
    },
    /// The delta copies from behind the end of a file.
    #[error("the static delta takes bytes of {0} that the file does not have")]
    SourceTooShort(Checksum),
    /// A patch in it is damaged.
    #[error("a patch in the static delta does not make {0}")]
    Patch(Checksum),
    /// All was applied, but the commit lacks an object.
    #[error(
        "the static delta does not contain {missing}, which commit {commit} needs; the commit is marked as partial"
    )]
    Incomplete {
        /// The commit.
        commit: Checksum,
        /// The first object that is not here.
        missing: ObjectName,
    },
    /// The bytes are no delta.
    #[error(transparent)]
    Format(#[from] DeltaError),
    /// An object cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An object cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for DeltaApplyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) | Self::PartMissing(_) | Self::SourceMissing(_) => {
                ErrorClass::NotFound
            }
            Self::Fallbacks(_) | Self::Dependencies(_) => ErrorClass::Unsupported,
            Self::OtherDelta { .. }
            | Self::OtherCommit { .. }
            | Self::OtherObject { .. }
            | Self::DamagedObject { .. }
            | Self::SourceTooShort(_)
            | Self::Patch(_)
            | Self::Incomplete { .. } => ErrorClass::Corrupt,
            Self::Format(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
