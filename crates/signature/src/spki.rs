//! Keys as `SubjectPublicKeyInfo` (`ostree.sign.spki`): ed25519 and ed448.
//!
//! libostree leaves the algorithm to OpenSSL, which knows more; other algorithms are refused with
//! [`KeyError::Algorithm`]. Key files are PEM (`PUBLIC KEY`, `PRIVATE KEY`); on command lines keys
//! are the base64 of the same DER.

use std::fmt;

use ed25519_dalek::Signer as _;

use crate::armor::{base64, blocks};
use crate::der::{self, WrappedKey};
use crate::{KeyError, Scheme};

const SCHEME: Scheme = Scheme::Spki;
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const ED448_KEY: usize = 57;

/// A public key.
#[derive(Debug, Clone)]
pub struct PublicKey {
    der: Vec<u8>,
    key: Verifying,
}

#[derive(Debug, Clone)]
enum Verifying {
    Ed25519(ed25519_dalek::VerifyingKey),
    Ed448(Box<cx448::VerifyingKey>),
}

impl PublicKey {
    /// The label of its PEM blocks.
    pub const LABEL: &'static str = "PUBLIC KEY";

    /// From DER.
    ///
    /// # Errors
    /// [`KeyError`] when the bytes are no key, or one of another algorithm.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let wrapped = der::public_key(der).ok_or(KeyError::NotDer)?;
        Ok(Self {
            der: der.to_vec(),
            key: verifying(&wrapped)?,
        })
    }

    /// From the base64 of the DER, as on command lines.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_der(&decoded(text)?)
    }

    /// The DER it was made from.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for PublicKey {}

impl crate::PublicKey for PublicKey {
    const SCHEME: Scheme = SCHEME;

    fn to_hex(&self) -> String {
        hex::encode(&self.der)
    }

    fn verifies(&self, data: &[u8], signature: &[u8]) -> Option<bool> {
        match &self.key {
            Verifying::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
                Some(key.verify_strict(data, &signature).is_ok())
            }
            Verifying::Ed448(key) => {
                let bytes = signature.try_into().ok()?;
                let signature = cx448::Signature::from_bytes(bytes).ok()?;
                Some(key.verify_raw(&signature, data).is_ok())
            }
        }
    }
}

/// A secret key. Its `Debug` form shows the algorithm only; its memory is wiped when dropped (that
/// of the text it was read from is the caller's).
#[derive(Clone)]
pub struct SecretKey(Signing);

#[derive(Clone)]
enum Signing {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Ed448(Box<cx448::SigningKey>),
}

impl SecretKey {
    /// The label of its PEM blocks.
    pub const LABEL: &'static str = "PRIVATE KEY";

    /// From DER (`PrivateKeyInfo`, without encryption).
    ///
    /// # Errors
    /// [`KeyError`] when the bytes are no key, or one of another algorithm.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let wrapped = der::private_key(der).ok_or(KeyError::NotDer)?;
        signing(&wrapped).map(Self)
    }

    /// From the base64 of the DER, as on command lines.
    ///
    /// # Errors
    /// As [`from_der`](Self::from_der).
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        Self::from_der(&decoded(text)?)
    }

    /// The signature over `data`. The same data always give the same signature.
    #[must_use]
    pub fn sign(&self, data: &[u8]) -> Vec<u8> {
        match &self.0 {
            Signing::Ed25519(key) => key.sign(data).to_bytes().to_vec(),
            Signing::Ed448(key) => key.sign_raw(data).to_bytes().to_vec(),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Signing::Ed25519(_) => "SecretKey(ed25519)",
            Signing::Ed448(_) => "SecretKey(ed448)",
        })
    }
}

/// The DER of each PEM block of `text`, all of which must have `label`.
pub(crate) fn from_pem(text: &str, label: &'static str) -> Result<Vec<Vec<u8>>, KeyError> {
    let keys = blocks(text)?.into_iter().map(|block| {
        if block.label == label {
            Ok(block.data)
        } else {
            Err(KeyError::Label {
                line: block.line,
                expected: label,
                found: block.label,
            })
        }
    });
    keys.collect()
}

fn decoded(text: &str) -> Result<Vec<u8>, KeyError> {
    base64(text).ok_or(KeyError::NotBase64 { scheme: SCHEME })
}

fn verifying(wrapped: &WrappedKey<'_>) -> Result<Verifying, KeyError> {
    let not_on_curve = KeyError::NotOnCurve { scheme: SCHEME };
    match wrapped.oid {
        ED25519 => ed25519_dalek::VerifyingKey::from_bytes(sized(wrapped.key)?)
            .map(Verifying::Ed25519)
            .map_err(|_| not_on_curve),
        ED448 => {
            let bytes: &[u8; ED448_KEY] = sized(wrapped.key)?;
            cx448::VerifyingKey::from_bytes(bytes)
                .map(|key| Verifying::Ed448(Box::new(key)))
                .map_err(|_| not_on_curve)
        }
        other => Err(unknown(other)),
    }
}

fn signing(wrapped: &WrappedKey<'_>) -> Result<Signing, KeyError> {
    match wrapped.oid {
        ED25519 => {
            let key = ed25519_dalek::SigningKey::from_bytes(sized(wrapped.key)?);
            Ok(Signing::Ed25519(Box::new(key)))
        }
        ED448 => {
            let seed: &[u8; ED448_KEY] = sized(wrapped.key)?;
            let seed = cx448::SecretKey::from_slice(seed);
            Ok(Signing::Ed448(Box::new(cx448::SigningKey::from(seed))))
        }
        other => Err(unknown(other)),
    }
}

fn unknown(oid: &[u8]) -> KeyError {
    let oid = der::dotted(oid);
    KeyError::Algorithm { oid }
}

fn sized<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Length {
        scheme: SCHEME,
        expected: N,
        found: bytes.len(),
    })
}
