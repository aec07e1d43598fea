use std::fmt;

use pgp::types::KeyDetails;

/// A key's fingerprint: 20 bytes, 32 in version 6. Shown in upper case, as gpg does.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(Vec<u8>);

/// A key's identifier of 64 bits: the end of its fingerprint (the beginning, in version 6).
///
/// Two keys may share one; it finds keys, but proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

/// What a signature says about the key that made it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Issuer {
    /// The whole fingerprint.
    Fingerprint(Fingerprint),
    /// Only the key ID.
    KeyId(KeyId),
}

impl Fingerprint {
    pub(super) fn of(key: &impl KeyDetails) -> Self {
        Self(key.fingerprint().as_bytes().to_vec())
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last 16 hexadecimal digits, which messages show.
    #[must_use]
    pub fn short(&self) -> String {
        short(&self.0)
    }
}

impl KeyId {
    pub(super) fn of(key: &impl KeyDetails) -> Self {
        Self::from_slice(key.legacy_key_id().as_ref())
    }

    /// All zero when `bytes` are not 8.
    pub(super) fn from_slice(bytes: &[u8]) -> Self {
        Self(bytes.try_into().unwrap_or_default())
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl Issuer {
    /// The last 16 hexadecimal digits, which messages show.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.short(),
            Self::KeyId(id) => id.to_string(),
        }
    }
}

fn short(bytes: &[u8]) -> String {
    hex::encode_upper(&bytes[bytes.len().saturating_sub(8)..])
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.fmt(f),
            Self::KeyId(id) => id.fmt(f),
        }
    }
}
