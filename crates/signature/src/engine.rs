//! The schemes that know nothing but keys, chosen by name.

use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;

use crate::detached::{self, WrongType};
use crate::{KeyError, KeySet, Rejected, Scheme, Verified, dummy, ed25519, spki};

/// Verifies signatures of one scheme with keys that are trusted, less those that are revoked.
///
/// Where the keys are looked for is the caller's part; libostree looks in `/etc/ostree` and
/// `/usr/share/ostree`, and in each in the file `trusted.SCHEME`, the files of the directory
/// `trusted.SCHEME.d`, and the same with `revoked`.
#[derive(Debug, Clone)]
pub struct Verifier(Keys);

#[derive(Debug, Clone)]
enum Keys {
    Ed25519(KeySet<ed25519::PublicKey>),
    Spki(KeySet<spki::PublicKey>),
    Dummy(Option<String>),
}

/// Why verification did not find a valid signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The metadata are damaged.
    #[error(transparent)]
    Metadata(#[from] WrongType),
    /// No signature is valid.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// No signature is valid, in the dummy scheme.
    #[error(transparent)]
    Dummy(#[from] dummy::Rejected),
}

impl Classified for VerifyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Metadata(error) => error.class(),
            Self::Rejected(error) => error.class(),
            Self::Dummy(error) => error.class(),
        }
    }
}

impl Verifier {
    /// No keys yet.
    ///
    /// # Errors
    /// [`KeyError::NeedsKeyring`] for GPG, which has [`gpg::verify`](crate::gpg::verify).
    pub fn new(scheme: Scheme) -> Result<Self, KeyError> {
        match scheme {
            Scheme::Ed25519 => Ok(Self(Keys::Ed25519(KeySet::new()))),
            Scheme::Spki => Ok(Self(Keys::Spki(KeySet::new()))),
            Scheme::Dummy => Ok(Self(Keys::Dummy(None))),
            Scheme::Gpg => Err(KeyError::NeedsKeyring { scheme }),
        }
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self.0 {
            Keys::Ed25519(_) => Scheme::Ed25519,
            Keys::Spki(_) => Scheme::Spki,
            Keys::Dummy(_) => Scheme::Dummy,
        }
    }

    /// Whether no key is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Keys::Ed25519(keys) => keys.is_empty(),
            Keys::Spki(keys) => keys.is_empty(),
            Keys::Dummy(key) => key.is_none(),
        }
    }

    /// Trust a key as it is given on a command line. The dummy scheme knows one key: the last.
    ///
    /// # Errors
    /// [`KeyError`] when the text is no key of the scheme.
    pub fn trust(&mut self, key: &str) -> Result<(), KeyError> {
        match &mut self.0 {
            Keys::Ed25519(keys) => keys.trust(ed25519::PublicKey::from_base64(key)?),
            Keys::Spki(keys) => keys.trust(spki::PublicKey::from_base64(key)?),
            Keys::Dummy(held) => *held = Some(key.to_owned()),
        }
        Ok(())
    }

    /// Trust the keys of a key file. As in libostree, what is no key is passed over as long as
    /// there is one key.
    ///
    /// # Errors
    /// [`KeyError`]: the first that is wrong with a file that holds no key at all. A PEM file that
    /// is damaged trusts nothing.
    pub fn trust_file(&mut self, file: &str) -> Result<(), KeyError> {
        let scheme = self.scheme();
        match &mut self.0 {
            Keys::Ed25519(keys) => at_least_one(scheme, base64_lines(file), |key| keys.trust(key)),
            Keys::Spki(keys) => at_least_one(scheme, pem_keys(file)?, |key| keys.trust(key)),
            Keys::Dummy(held) => at_least_one(scheme, key_lines(file).map(Ok), |key: &str| {
                *held = Some(key.to_owned());
            }),
        }
    }

    /// Revoke the keys of a key file. The dummy scheme revokes nothing.
    ///
    /// # Errors
    /// [`KeyError`] when anything in it is no key: unlike libostree, which passes over it, since a
    /// key that was meant to be revoked would stay trusted. The keys before it are revoked.
    pub fn revoke_file(&mut self, file: &str) -> Result<(), KeyError> {
        match &mut self.0 {
            Keys::Ed25519(keys) => base64_lines(file).try_for_each(|key| {
                keys.revoke(key?);
                Ok(())
            }),
            Keys::Spki(keys) => pem_keys(file)?.try_for_each(|key| {
                keys.revoke(key?);
                Ok(())
            }),
            Keys::Dummy(_) => Ok(()),
        }
    }

    /// Find a valid signature over `data`, the raw bytes of a commit or summary, in its detached
    /// metadata. What is returned prints as libostree's message, for example
    /// `ed25519: Signature verified successfully with key '...'`.
    ///
    /// # Errors
    /// [`VerifyError`] when there is none.
    pub fn verify(&self, data: &[u8], metadata: &Metadata) -> Result<Verified, VerifyError> {
        let signatures = detached::list(metadata, self.scheme())?;
        match &self.0 {
            Keys::Ed25519(keys) => Ok(keys.verify(data, &signatures)?),
            Keys::Spki(keys) => Ok(keys.verify(data, &signatures)?),
            Keys::Dummy(key) => {
                let key = key.as_deref().unwrap_or_default();
                let place = dummy::verify(key, &signatures)?;
                Ok(Verified::dummy(key, place))
            }
        }
    }
}

/// Signs with one secret key of one scheme.
#[derive(Debug, Clone)]
pub struct Signer(Secret);

#[derive(Clone)]
enum Secret {
    Ed25519(ed25519::SecretKey),
    Spki(spki::SecretKey),
    Dummy(String),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ed25519(key) => key.fmt(f),
            Self::Spki(key) => key.fmt(f),
            Self::Dummy(_) => f.write_str("dummy"),
        }
    }
}

impl Signer {
    /// With a secret key as it is given on a command line.
    ///
    /// # Errors
    /// [`KeyError`] when the text is no key of the scheme, or the scheme is GPG, which has
    /// [`gpg::SecretKeyring`](crate::gpg::SecretKeyring).
    pub fn new(scheme: Scheme, key: &str) -> Result<Self, KeyError> {
        match scheme {
            Scheme::Ed25519 => ed25519::SecretKey::from_base64(key).map(Secret::Ed25519),
            Scheme::Spki => spki::SecretKey::from_base64(key).map(Secret::Spki),
            Scheme::Dummy => Ok(Secret::Dummy(key.to_owned())),
            Scheme::Gpg => Err(KeyError::NeedsKeyring { scheme }),
        }
        .map(Self)
    }

    /// With each secret key of a key file.
    ///
    /// # Errors
    /// [`KeyError`] when anything in it is no key of the scheme, or it holds none.
    pub fn from_file(scheme: Scheme, file: &str) -> Result<Vec<Self>, KeyError> {
        let signers: Vec<Self> = match scheme {
            Scheme::Spki => spki::from_pem(file, spki::SecretKey::LABEL)?
                .iter()
                .map(|der| Ok(Self(Secret::Spki(spki::SecretKey::from_der(der)?))))
                .collect::<Result<_, KeyError>>()?,
            _ => key_lines(file)
                .map(|line| Self::new(scheme, line))
                .collect::<Result<_, _>>()?,
        };
        if signers.is_empty() {
            return Err(KeyError::Empty { scheme });
        }
        Ok(signers)
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        match self.0 {
            Secret::Ed25519(_) => Scheme::Ed25519,
            Secret::Spki(_) => Scheme::Spki,
            Secret::Dummy(_) => Scheme::Dummy,
        }
    }

    /// Sign `data` and append the signature to its detached metadata.
    ///
    /// # Errors
    /// [`WrongType`] when the metadata are damaged; they are unchanged then.
    pub fn sign(&self, data: &[u8], metadata: &mut Metadata) -> Result<(), WrongType> {
        let signature = match &self.0 {
            Secret::Ed25519(key) => key.sign(data),
            Secret::Spki(key) => key.sign(data),
            Secret::Dummy(key) => dummy::sign(key),
        };
        detached::add(metadata, self.scheme(), signature)
    }
}

/// Keys stand one to a line.
fn key_lines(file: &str) -> impl Iterator<Item = &str> {
    file.lines().filter(|line| !line.trim().is_empty())
}

fn base64_lines(file: &str) -> impl Iterator<Item = Result<ed25519::PublicKey, KeyError>> {
    key_lines(file).map(ed25519::PublicKey::from_base64)
}

fn pem_keys(
    file: &str,
) -> Result<impl Iterator<Item = Result<spki::PublicKey, KeyError>> + use<>, KeyError> {
    let keys = spki::from_pem(file, spki::PublicKey::LABEL)?;
    Ok(keys.into_iter().map(|der| spki::PublicKey::from_der(&der)))
}

fn at_least_one<K>(
    scheme: Scheme,
    keys: impl Iterator<Item = Result<K, KeyError>>,
    mut take: impl FnMut(K),
) -> Result<(), KeyError> {
    let mut outcome = None;
    for key in keys {
        match key {
            Ok(key) => {
                take(key);
                outcome = Some(Ok(()));
            }
            Err(error) => outcome = outcome.or(Some(Err(error))),
        }
    }
    outcome.unwrap_or(Err(KeyError::Empty { scheme }))
}
