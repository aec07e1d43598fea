use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};

/// What fs-verity hashes with. An inode has one digest, so a store decides once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, which libostree uses.
    Sha256,
    /// SHA-512, which bootc uses.
    Sha512,
}

impl Algorithm {
    /// Bytes of a digest.
    #[must_use]
    pub const fn digest_size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The number that the kernel knows it by (`FS_VERITY_HASH_ALG_*`).
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }
}

/// The digest by which fs-verity knows a file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// Of SHA-256.
    Sha256([u8; 32]),
    /// Of SHA-512.
    Sha512([u8; 64]),
}

impl Digest {
    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        }
    }

    /// Where an object with this digest stands in the store: `xx/yyyy…`.
    #[must_use]
    pub fn object_path(&self) -> String {
        let text = self.to_string();
        let (dir, name) = text.split_at(2);
        format!("{dir}/{name}")
    }
}

impl TryFrom<&[u8]> for Digest {
    type Error = DigestError;

    fn try_from(bytes: &[u8]) -> Result<Self, DigestError> {
        if let Ok(bytes) = bytes.try_into() {
            return Ok(Self::Sha256(bytes));
        }
        let bytes = bytes.try_into().map_err(|_| DigestError(bytes.len()))?;
        Ok(Self::Sha512(bytes))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode(text) {
            Ok(bytes) if is_lower => Self::try_from(&*bytes),
            _ => Err(DigestError(text.len() / 2)),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What was given is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a digest of fs-verity is 32 or 64 bytes in lower-case hexadecimal, not {0} bytes of anything"
)]
pub struct DigestError(usize);

impl Classified for DigestError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}
