//! Making signatures.

use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;
use signature::detached::{self, WrongType};
use signature::gpg::{self, KeyQuery};
use signature::{Scheme, Signer};

use crate::{GpgHome, GpgHomeError};

/// Keys to sign with.
#[derive(Debug, Clone, Default)]
pub struct Signing {
    /// Bare keys.
    pub keys: Vec<Signer>,
    /// Where the GPG keys are.
    pub home: GpgHome,
    /// GPG keys, as users name them to gpg.
    pub gpg: Vec<String>,
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The GPG key has signed before.
    #[error("Commit is already signed with GPG key {0}")]
    AlreadySigned(String),
    /// gpg failed.
    #[error(transparent)]
    Gpg(#[from] GpgHomeError),
    /// The signatures that are there already are damaged.
    #[error(transparent)]
    Metadata(#[from] WrongType),
}

impl Classified for SigningError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::AlreadySigned(_) => ErrorClass::InvalidInput,
            Self::Gpg(error) => error.class(),
            Self::Metadata(error) => error.class(),
        }
    }
}

impl Signing {
    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.gpg.is_empty()
    }

    /// Sign `data` with all keys and append the signatures to its detached metadata. `now` is in seconds
    /// since 1970.
    ///
    /// # Errors
    /// [`SigningError`]; `metadata` may hold some of the signatures then.
    pub fn sign(&self, data: &[u8], metadata: &mut Metadata, now: u64) -> Result<(), SigningError> {
        for key in &self.keys {
            key.sign(data, metadata)?;
        }
        for key in &self.gpg {
            self.refuse_second(data, metadata, key, now)?;
            for signature in self.home.sign(data, key)? {
                detached::add(metadata, Scheme::Gpg, signature)?;
            }
        }
        Ok(())
    }

    /// A second signature by the same key says nothing new.
    fn refuse_second(
        &self,
        data: &[u8],
        metadata: &Metadata,
        key: &str,
        now: u64,
    ) -> Result<(), SigningError> {
        let known = self.home.public_key(key)?;
        let there = detached::list(metadata, Scheme::Gpg)?;
        let verification = gpg::verify(data, &there, &known, &gpg::Policy::default(), now);
        match verification.find(&known, &KeyQuery::new(key)) {
            Some(_) => Err(SigningError::AlreadySigned(key.to_owned())),
            None => Ok(()),
        }
    }
}
