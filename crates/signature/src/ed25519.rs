//! ed25519 with bare keys (`ostree.sign.ed25519`).
//!
//! A public key is 32 bytes, a secret key 64 (seed and public key); text has them in base64. Key
//! files (`trusted.ed25519`, `revoked.ed25519`, and each file of the directories `*.ed25519.d`)
//! have one key per line.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::armor::base64;
use crate::{KeyError, Scheme};

const SCHEME: Scheme = Scheme::Ed25519;

/// A public key. Any 32 bytes are one, as in libostree; those that are no point of the curve have
/// made no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From its 32 bytes.
    ///
    /// # Errors
    /// [`KeyError`] when the size is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        sized(bytes).copied().map(Self)
    }

    /// From base64, as on command lines and in key files.
    ///
    /// # Errors
    /// [`KeyError`] when it is not the base64 of a key.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&decoded(text)?)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl crate::PublicKey for PublicKey {
    const SCHEME: Scheme = SCHEME;

    fn to_hex(&self) -> String {
        hex::encode(self.as_bytes())
    }

    fn verifies(&self, data: &[u8], signature: &[u8]) -> Option<bool> {
        let signature = Signature::from_slice(signature).ok()?;
        let key = VerifyingKey::from_bytes(&self.0);
        // As libsodium does: no keys of small order, no second encoding of the same signature.
        Some(key.is_ok_and(|key| key.verify_strict(data, &signature).is_ok()))
    }
}

/// A secret key. Its `Debug` form shows the public half only; its memory is wiped when dropped (that
/// of the text it was read from is the caller's).
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// From its 64 bytes: the seed, then the public key.
    ///
    /// # Errors
    /// [`KeyError`] when the size is wrong, or the public key is not that of the seed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; 64] = sized(bytes)?;
        let key = SigningKey::from_keypair_bytes(bytes);
        key.map(Self)
            .map_err(|_| KeyError::Mismatch { scheme: SCHEME })
    }

    /// From base64, as on command lines and in key files.
    ///
    /// # Errors
    /// [`KeyError`] when it is not the base64 of a key.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&decoded(text)?)
    }

    /// The 64 bytes of the signature over `data`. The same data always give the same signature.
    #[must_use]
    pub fn sign(&self, data: &[u8]) -> Vec<u8> {
        self.0.sign(data).to_bytes().to_vec()
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey")
            .field(&self.public_key())
            .finish()
    }
}

fn sized<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Length {
        scheme: SCHEME,
        expected: N,
        found: bytes.len(),
    })
}

fn decoded(text: &str) -> Result<Vec<u8>, KeyError> {
    base64(text).ok_or(KeyError::NotBase64 { scheme: SCHEME })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PublicKey as _;

    // RFC 8032, section 7.1, test 2.
    const SEED: &str = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    const PUBLIC: &str = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    const SIGNATURE: &str = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

    fn secret() -> SecretKey {
        let bytes = hex::decode(format!("{SEED}{PUBLIC}")).unwrap();
        SecretKey::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn signs_and_verifies_as_the_specification_does() {
        let signature = secret().sign(&[0x72]);
        assert_eq!(hex::encode(&signature), SIGNATURE);
        let public = secret().public_key();
        assert_eq!(public.to_hex(), PUBLIC);
        assert_eq!(public.verifies(&[0x72], &signature), Some(true));
        assert_eq!(public.verifies(&[0x73], &signature), Some(false));
        assert_eq!(public.verifies(&[0x72], &signature[1..]), None);
    }

    #[test]
    fn foreign_public_half_is_refused() {
        let mut bytes = hex::decode(format!("{SEED}{PUBLIC}")).unwrap();
        bytes[63] ^= 1;
        assert_eq!(
            SecretKey::from_bytes(&bytes).unwrap_err(),
            KeyError::Mismatch { scheme: SCHEME }
        );
    }

    #[test]
    fn wrong_sizes_are_named() {
        let error = PublicKey::from_base64("AAAA").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid ed25519 key: expected 32 bytes, got 3"
        );
        assert!(matches!(
            PublicKey::from_base64("?"),
            Err(KeyError::NotBase64 { .. })
        ));
    }

    #[test]
    fn debug_hides_the_seed() {
        let shown = format!("{:?}", secret());
        assert!(
            !shown.contains(&SEED[..8]) && !shown.contains("76, 205, 8, 155"),
            "{shown}"
        );
    }
}
