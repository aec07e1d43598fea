use std::borrow::Borrow;
use std::fmt;

use error_class::{Classified, ErrorClass};

/// One component of a path: not empty, without `/` and NUL, and neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Bytes that cannot name a directory entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is not a file name", .bytes.escape_ascii().to_string())]
pub struct InvalidName {
    /// What was given.
    pub bytes: Vec<u8>,
}

impl Classified for InvalidName {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Name {
    /// Check and wrap.
    ///
    /// # Errors
    /// [`InvalidName`].
    pub fn new(bytes: &[u8]) -> Result<Self, InvalidName> {
        let special = matches!(bytes, b"" | b"." | b"..");
        if special || bytes.contains(&b'/') || bytes.contains(&0) {
            return Err(InvalidName {
                bytes: bytes.to_vec(),
            });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text, if it is UTF-8.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
