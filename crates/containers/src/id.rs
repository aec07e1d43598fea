//! The numbers of images and layers.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Digits of a number.
const LENGTH: usize = 64;
/// Letters of the short name of a layer, which mounts are put together of.
const SHORT: usize = 26;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of podman's storage")]
pub struct InvalidId(String);

/// The number of a layer: of its archive's digest and of those of the layers below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(String);

/// The number of an image: the digest of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(String);

impl LayerId {
    /// The number of a layer whose archive has this digest, in hexadecimal digits, upon another one.
    #[must_use]
    pub fn chain(parent: Option<&Self>, diff_id: &str) -> Self {
        let Some(parent) = parent else {
            return Self(diff_id.to_owned());
        };
        let chain = Sha256::digest(format!("{}+{diff_id}", parent.0));
        Self(hex::encode(chain))
    }

    /// A name for mounts. Any that nothing else has does; this one needs no chance.
    pub(crate) fn short(&self) -> String {
        let bytes = hex::decode(&self.0).unwrap_or_default();
        let bit = |at: usize| {
            let byte = bytes.get(at / 8).copied().unwrap_or_default();
            usize::from(byte >> (7 - at % 8) & 1)
        };
        let letter = |at: usize| {
            let five = (0..5).fold(0, |value, next| value << 1 | bit(at * 5 + next));
            char::from(BASE32[five])
        };
        (0..SHORT).map(letter).collect()
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ImageId {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn checked(text: &str) -> Result<String, InvalidId> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_valid = text.len() == LENGTH && text.bytes().all(is_hex);
    let id = is_valid.then(|| text.to_owned());
    id.ok_or_else(|| InvalidId(text.to_owned()))
}

impl FromStr for LayerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        checked(text).map(Self)
    }
}

impl FromStr for ImageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        checked(text).map(Self)
    }
}

impl fmt::Display for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `skopeo` 1.9.3 numbered two layers with these digests.
    #[test]
    fn numbers_are_those_of_skopeo() {
        let lower = "d1cba6e0e1b212269c28c6915394ab7093faf0192d3f18866a9c70f03e2d15e3";
        let upper = "4bdf75d7f99c27d9d4ba9180f001fb74feabefb1b805aaa471d108c67ca0ecef";
        let base = LayerId::chain(None, lower);
        assert_eq!(base.as_str(), lower);
        assert_eq!(
            LayerId::chain(Some(&base), upper).as_str(),
            "bf0e3c926b8a85079f04e1f590bdae337c79cf8b3b7016ae18a352b53ee6dc3d"
        );
        assert_eq!(base.short().len(), SHORT);
        assert!("../x".parse::<LayerId>().is_err());
    }
}
