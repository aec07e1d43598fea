use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use hash_lanes::Sha256;

/// The SHA-256 that names an OSTree object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum([u8; 32]);

/// Why a string is not a [`Checksum`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a checksum: 64 lowercase hexadecimal digits are expected")]
pub struct ChecksumError {
    /// What was given, shortened to 80 characters.
    pub text: String,
}

impl Classified for ChecksumError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Checksum {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The checksum of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes))
    }

    /// Wrap 32 raw bytes.
    #[must_use]
    pub const fn from_array(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Wrap raw bytes, if there are exactly 32.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 64];
        // The buffer has exactly twice the length of the digest, so encoding cannot fail.
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let invalid = || ChecksumError {
            text: text.chars().take(80).collect(),
        };
        if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(invalid());
        }
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| invalid())?;
        Ok(Self(bytes))
    }
}

/// A running SHA-256 that ends in a [`Checksum`].
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Take `bytes` in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Take `bytes` into both, which costs little more than one of them where the processor has instructions for it.
    pub fn update_both(one: &mut Self, other: &mut Self, bytes: &[u8]) {
        Sha256::update_both(&mut one.0, &mut other.0, bytes);
    }

    /// The checksum of everything taken in.
    #[must_use]
    pub fn finish(self) -> Checksum {
        Checksum(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // sha256sum of the empty file.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn prints_and_parses() {
        assert_eq!(Checksum::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse(), Ok(Checksum::of(b"")));
    }

    #[test]
    fn refuses_what_libostree_refuses() {
        for bad in [
            "",
            "abc",
            &EMPTY.to_uppercase(),
            &EMPTY[1..],
            &EMPTY.replace('e', "g"),
        ] {
            assert!(bad.parse::<Checksum>().is_err(), "{bad}");
        }
    }
}
