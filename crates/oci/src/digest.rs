//! Content digests, and checking streams against them.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use serde::{Deserialize, Serialize};
use sha2::{Sha256, Sha512};

mod verify;

pub use verify::{DigestReader, Verifier, VerifyError};

/// A digest algorithm that is accepted from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, what practically every image uses.
    Sha256,
    /// SHA-512, registered by the OCI image specification as well.
    Sha512,
}

impl Algorithm {
    /// The name in digests and in paths of image layouts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A digest of some content, `sha256:<64 hexadecimal digits>` (OCI image specification,
/// descriptor.md, "Digests").
///
/// The digits are lower case and of the right number, so a digest is safe as part of a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The SHA-256 digest of these bytes.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, hex) = text
            .split_once(':')
            .ok_or_else(|| DigestParseError::Malformed(text.to_owned()))?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestParseError::UnknownAlgorithm(text.to_owned())),
        };
        let is_hex = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hex || hex.len() != algorithm.hex_len() {
            return Err(DigestParseError::Malformed(text.to_owned()));
        }
        let hex = hex.into();
        Ok(Self { algorithm, hex })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<&oci_spec::image::Digest> for Digest {
    type Error = DigestParseError;

    fn try_from(digest: &oci_spec::image::Digest) -> Result<Self, Self::Error> {
        digest.as_ref().parse()
    }
}

impl From<&Digest> for oci_spec::image::Digest {
    fn from(digest: &Digest) -> Self {
        Self::try_from(digest.to_string()).expect("a checked digest is a digest to oci-spec too")
    }
}

/// The text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestParseError {
    /// It is not `algorithm:digits` with the right number of lower-case hexadecimal digits.
    #[error("{0:?} is not a digest")]
    Malformed(String),
    /// The algorithm is neither sha256 nor sha512.
    #[error("digest {0:?} is neither sha256 nor sha512")]
    UnknownAlgorithm(String),
}

impl Classified for DigestParseError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Malformed(_) => ErrorClass::InvalidInput,
            Self::UnknownAlgorithm(_) => ErrorClass::Unsupported,
        }
    }
}

/// A digest being computed.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// The digest of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        use sha2::Digest as _;
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        use sha2::Digest as _;
        match &mut self.0 {
            State::Sha256(hasher) => hasher.update(bytes),
            State::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything taken in.
    #[must_use]
    pub fn finish(self) -> Digest {
        use sha2::Digest as _;
        let (algorithm, hex) = match self.0 {
            State::Sha256(hasher) => (Algorithm::Sha256, hex::encode(hasher.finalize())),
            State::Sha512(hasher) => (Algorithm::Sha512, hex::encode(hasher.finalize())),
        };
        let hex = hex.into();
        Digest { algorithm, hex }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Sha256(_) => "Hasher(sha256)",
            State::Sha512(_) => "Hasher(sha512)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // sha256sum and sha512sum of "abc" (FIPS 180-4 examples).
    const ABC_256: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn digests_of_known_content() {
        assert_eq!(Digest::sha256(b"abc").to_string(), ABC_256);
        assert_eq!(Digest::of(Algorithm::Sha512, b"abc").to_string(), ABC_512);
    }

    #[test]
    fn digests_round_trip_through_text_and_oci_spec() {
        for text in [ABC_256, ABC_512] {
            let digest: Digest = text.parse().unwrap();
            assert_eq!(digest.to_string(), text);
            let foreign = oci_spec::image::Digest::from(&digest);
            assert_eq!(foreign.to_string(), text);
            assert_eq!(Digest::try_from(&foreign).unwrap(), digest);
            let json = serde_json::to_string(&digest).unwrap();
            assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        }
    }

    #[test]
    fn nothing_else_is_a_digest() {
        let upper = ABC_256.to_uppercase().replace("SHA256", "sha256");
        let long = format!("{ABC_256}0");
        for bad in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../../../etc/passwd",
            "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            upper.as_str(),
            long.as_str(),
        ] {
            let error = bad.parse::<Digest>().unwrap_err();
            assert_eq!(error, DigestParseError::Malformed(bad.to_owned()));
        }
        for unknown in ["md5:d41d8cd98f00b204e9800998ecf8427e", "SHA256:00", ":00"] {
            let error = unknown.parse::<Digest>().unwrap_err();
            assert_eq!(
                error,
                DigestParseError::UnknownAlgorithm(unknown.to_owned())
            );
        }
    }
}
