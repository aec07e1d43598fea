use error_class::{Classified, ErrorClass};

use crate::{Checksum, ObjectKind};

/// Why bytes are not an OSTree object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes do not parse as the GVariant type of the object.
    #[error("{kind} object is malformed: {source}")]
    Malformed {
        /// What was being parsed.
        kind: ObjectKind,
        /// Where and why.
        source: crate::gvariant::Error,
    },
    /// A field holds a value that the format forbids.
    #[error("{kind} object has an invalid {field}: {value:?}")]
    InvalidField {
        /// What was being parsed.
        kind: ObjectKind,
        /// The field's name.
        field: &'static str,
        /// The offending value, shortened.
        value: String,
    },
    /// A name in a dirtree would lead out of its directory.
    #[error("Invalid / in filename {name}")]
    SlashInName {
        /// The name, shortened.
        name: String,
    },
    /// Names inside a dirtree are not sorted, or one stands twice.
    #[error("dirtree object is not sorted at name {name:?}")]
    Unsorted {
        /// The first name that is out of order.
        name: String,
    },
    /// The bytes hash to another name than the one they are stored under.
    #[error("Corrupted {kind} object; checksum expected='{expected}' actual='{actual}'")]
    ChecksumMismatch {
        /// What was being read.
        kind: ObjectKind,
        /// The name it is stored under.
        expected: Checksum,
        /// What its content hashes to.
        actual: Checksum,
    },
}

impl Classified for FormatError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}
