use error_class::{Classified, ErrorClass};

use crate::{Scheme, dummy};

/// A bare key that signatures are verified with.
pub trait PublicKey: PartialEq {
    /// The scheme of its signatures.
    const SCHEME: Scheme;

    /// The stored form in hexadecimal, as messages name keys.
    fn to_hex(&self) -> String;

    /// Whether `signature` over `data` was made by this key; `None` when the bytes cannot be a
    /// signature at all.
    fn verifies(&self, data: &[u8], signature: &[u8]) -> Option<bool>;
}

/// Keys that are trusted, less those that are revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet<K> {
    trusted: Vec<K>,
    revoked: Vec<K>,
}

impl<K> Default for KeySet<K> {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            revoked: Vec::new(),
        }
    }
}

/// A valid signature was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    scheme: Scheme,
    key: String,
    place: usize,
}

impl Verified {
    /// A signature of the dummy scheme equals `key`.
    pub(crate) fn dummy(key: &str, place: usize) -> Self {
        Self {
            scheme: Scheme::Dummy,
            key: key.to_owned(),
            place,
        }
    }

    /// The scheme of the signature.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The key that made it, in hexadecimal; in the dummy scheme the key itself.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Which of the signatures it is.
    #[must_use]
    pub const fn place(&self) -> usize {
        self.place
    }
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scheme, key, .. } = self;
        if *scheme == Scheme::Dummy {
            return f.write_str(dummy::VERIFIED);
        }
        write!(
            f,
            "{scheme}: Signature verified successfully with key '{key}'"
        )
    }
}

/// No signature is valid. The texts are libostree's where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// There is nothing to verify.
    #[error("{scheme}: commit have no signatures of my type")]
    NoSignatures {
        /// The scheme.
        scheme: Scheme,
    },
    /// No key is trusted.
    #[error("signature: {scheme}: no keys loaded")]
    NoKeys {
        /// The scheme.
        scheme: Scheme,
    },
    /// Every trusted key is revoked.
    #[error("{scheme}: no signatures found")]
    AllRevoked {
        /// The scheme.
        scheme: Scheme,
    },
    /// Something that stands among the signatures cannot be one, and no other is valid.
    #[error("{scheme}: what stands at place {place} cannot be a signature: it has {size} bytes")]
    IllFormed {
        /// The scheme.
        scheme: Scheme,
        /// Its place among the signatures.
        place: usize,
        /// Its size in bytes.
        size: usize,
    },
    /// No trusted key made any of the signatures.
    #[error("{scheme}: Signature couldn't be verified{}", tried(.keys))]
    NotVerified {
        /// The scheme.
        scheme: Scheme,
        /// Each key that was tried, once per signature, in hexadecimal.
        keys: Vec<String>,
    },
}

impl Classified for Rejected {
    fn class(&self) -> ErrorClass {
        ErrorClass::Untrusted
    }
}

/// A keyring may hold a hundred keys: more than three are only counted.
fn tried(keys: &[String]) -> String {
    if keys.len() > 3 {
        return format!("; tried {} keys", keys.len());
    }
    let quoted: Vec<_> = keys.iter().map(|key| format!("key '{key}'")).collect();
    format!(" with: {}", quoted.join("; "))
}

impl<K: PublicKey> KeySet<K> {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trust `key`.
    pub fn trust(&mut self, key: K) {
        if !self.trusted.contains(&key) {
            self.trusted.push(key);
        }
    }

    /// Never trust `key`, even where it is also trusted.
    pub fn revoke(&mut self, key: K) {
        if !self.revoked.contains(&key) {
            self.revoked.push(key);
        }
    }

    /// Whether no key is trusted (revoked ones count as trusted here).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.trusted.is_empty()
    }

    /// Find a signature over `data` that was made by a trusted key.
    ///
    /// Unlike libostree, bytes that cannot be a signature do not hide a valid one behind them.
    ///
    /// # Errors
    /// [`Rejected`] when there is none.
    pub fn verify(&self, data: &[u8], signatures: &[&[u8]]) -> Result<Verified, Rejected> {
        let scheme = K::SCHEME;
        if signatures.is_empty() {
            return Err(Rejected::NoSignatures { scheme });
        }
        if self.trusted.is_empty() {
            return Err(Rejected::NoKeys { scheme });
        }
        let mut keys = Vec::new();
        let mut ill_formed = None;
        for (place, signature) in signatures.iter().enumerate() {
            for key in self.in_force() {
                match key.verifies(data, signature) {
                    Some(true) => {
                        let key = key.to_hex();
                        return Ok(Verified { scheme, key, place });
                    }
                    Some(false) => keys.push(key.to_hex()),
                    None => ill_formed = ill_formed.or(Some((place, signature.len()))),
                }
            }
        }
        Err(Self::rejection(keys, ill_formed))
    }

    fn in_force(&self) -> impl Iterator<Item = &K> {
        self.trusted
            .iter()
            .filter(|key| !self.revoked.contains(key))
    }

    fn rejection(keys: Vec<String>, ill_formed: Option<(usize, usize)>) -> Rejected {
        let scheme = K::SCHEME;
        match ill_formed {
            Some((place, size)) => Rejected::IllFormed {
                scheme,
                place,
                size,
            },
            None if keys.is_empty() => Rejected::AllRevoked { scheme },
            None => Rejected::NotVerified { scheme, keys },
        }
    }
}
