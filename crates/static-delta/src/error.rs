use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, gvariant};

/// Why bytes are no static delta, or none that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeltaError {
    /// The bytes do not parse.
    #[error("the {what} of the static delta is malformed: {source}")]
    Malformed {
        /// What was being parsed.
        what: &'static str,
        /// Where and why.
        source: gvariant::Error,
    },
    /// A field holds what the format forbids.
    #[error("the static delta has an invalid {0}")]
    InvalidField(&'static str),
    /// A part is written in a later version of the format.
    #[error("Delta part has too new version {0}")]
    TooNew(u32),
    /// A part is packed in a way that is not known.
    #[error("Invalid compression type '{0}'")]
    UnknownCompression(u8),
    /// A part cannot be unpacked.
    #[error("a part of the static delta cannot be unpacked: {0}")]
    Packed(#[source] std::io::Error),
    /// A part unpacks to more than its objects can account for.
    #[error(
        "a part of the static delta unpacks to more than {limit} bytes, which its objects cannot need"
    )]
    TooLarge {
        /// Bytes that would have been accepted.
        limit: u64,
    },
    /// A part is not the one that the superblock lists.
    #[error("Checksum mismatch in static delta part; expected={expected} actual={actual}")]
    PartChecksum {
        /// What the superblock says.
        expected: Checksum,
        /// What came.
        actual: Checksum,
    },
    /// An operation of a part makes no sense.
    #[error("operation {index} of a part of the static delta: {reason}")]
    Operation {
        /// Which one, from 0.
        index: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Classified for DeltaError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::TooNew(_) | Self::UnknownCompression(_) => ErrorClass::Unsupported,
            _ => ErrorClass::Corrupt,
        }
    }
}
