//! Keys that sign static deltas, and that verify them.

use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;
use signature::detached::WrongType;
use signature::{Scheme, Signer, Verifier};
use static_delta::DeltaFile;
use trust::{KeyStores, TrustError};

use crate::outcome::Failure;
use crate::verbs::ostree::signatures;

/// Where the keys for verifying come from.
#[derive(Debug, Args)]
pub(super) struct VerifyKeys {
    /// Type of the signatures: ed25519, spki or dummy
    #[arg(long, value_name = "NAME", default_value = "ed25519")]
    sign_type: String,
    /// Read public keys from this file
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// Look for trusted and revoked keys in this directory instead of those of the system
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
    /// Public keys
    #[arg(value_name = "KEY-ID")]
    key_ids: Vec<String>,
}

/// What is wrong with signatures.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("no signatures in static-delta")]
    Unsigned,
    #[error("Key is mandatory to check delta signature")]
    NoKey,
    #[error("no signature for '{0}' in static-delta superblock")]
    NoneOfType(Scheme),
    #[error("Delta signature verification failed: {0}")]
    Rejected(#[source] signature::VerifyError),
}

impl Classified for KeysError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unsigned | Self::NoKey | Self::NoneOfType(_) => ErrorClass::Denied,
            Self::Rejected(error) => error.class(),
        }
    }
}

impl VerifyKeys {
    /// Whether keys were named in any way.
    pub(super) fn are_given(&self) -> bool {
        !self.key_ids.is_empty() || self.keys_file.is_some() || self.keys_dir.is_some()
    }

    /// The keys that were named, and those of a directory or of the system when none were.
    pub(super) fn verifier(&self, stores: &KeyStores) -> Result<Verifier, Failure> {
        let scheme = signatures::scheme(&self.sign_type)?;
        if scheme == Scheme::Dummy && !stores.allows_dummy() {
            return Err(TrustError::DummyNotAllowed.into());
        }
        if self.key_ids.is_empty() && self.keys_file.is_none() {
            let dir = self.keys_dir.as_deref();
            return signatures::system_verifier(scheme, stores, dir);
        }
        let mut verifier = Verifier::new(scheme)?;
        for key in &self.key_ids {
            verifier.trust(key)?;
        }
        if let Some(file) = &self.keys_file {
            signatures::trust_file(&mut verifier, file)?;
        }
        Ok(verifier)
    }
}

/// Whether one of the keys signed the superblock; prints as libostree's message.
pub(super) fn verify(
    file: &DeltaFile,
    verifier: &Verifier,
) -> Result<signature::Verified, KeysError> {
    let signatures = file.signatures.as_ref().filter(|_| file.is_signed());
    let signatures = signatures.ok_or(KeysError::Unsigned)?;
    let none = || KeysError::NoneOfType(verifier.scheme());
    match signature::detached::list(signatures, verifier.scheme()) {
        Ok(found) if found.is_empty() => return Err(none()),
        _ => {}
    }
    let verified = verifier.verify(&file.superblock, signatures);
    verified.map_err(KeysError::Rejected)
}

/// The secret keys that were named, and those of a file.
pub(super) fn signers(
    sign_type: &str,
    keys: &[String],
    file: Option<&PathBuf>,
    stores: &KeyStores,
) -> Result<Vec<Signer>, Failure> {
    let files: Vec<PathBuf> = file.into_iter().cloned().collect();
    if keys.is_empty() && files.is_empty() {
        return Ok(Vec::new());
    }
    let scheme = signatures::scheme(sign_type)?;
    Ok(signatures::secret_keys(scheme, keys, &files, stores)?)
}

/// A superblock with all signatures, or plain when nobody signs.
pub(super) fn sign(superblock: Vec<u8>, signers: &[Signer]) -> Result<DeltaFile, WrongType> {
    let mut signatures = Metadata::new();
    for signer in signers {
        signer.sign(&superblock, &mut signatures)?;
    }
    Ok(DeltaFile {
        superblock,
        signatures: (!signers.is_empty()).then_some(signatures),
    })
}
