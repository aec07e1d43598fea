//! Keys that sign static deltas, and that verify them.

use std::path::{Path, PathBuf};

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;
use rustix::fs::CWD;
use signature::detached::WrongType;
use signature::{Scheme, Signer, Verifier};
use static_delta::DeltaFile;
use trust::{KeyStores, TrustError};

use crate::environment;
use crate::outcome::Failure;
use crate::place::open_dir;
use crate::verbs::ostree::signatures;

/// Largest file with keys.
const MAX_KEYS: u64 = 64 * 1024 * 1024;

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

/// What is wrong with keys or signatures.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("{0:?} is not a regular file with keys")]
    NoFile(PathBuf),
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
            Self::NoFile(_) => ErrorClass::NotFound,
            Self::Unsigned | Self::NoKey | Self::NoneOfType(_) => ErrorClass::Denied,
            Self::Rejected(error) => error.class(),
        }
    }
}

fn scheme(name: &str) -> Result<Scheme, Failure> {
    let scheme = signatures::scheme(name)?;
    if scheme == Scheme::Dummy && !stores(Path::new("/"))?.allows_dummy() {
        return Err(TrustError::DummyNotAllowed.into());
    }
    Ok(scheme)
}

/// What is looked for below `root`.
fn stores(root: &Path) -> Result<KeyStores, Failure> {
    let root = open_dir("the directory with keys", root)?;
    Ok(environment::key_stores(KeyStores::new(root)))
}

fn read(path: &Path) -> Result<String, Failure> {
    let missing = || KeysError::NoFile(path.to_owned());
    let bytes = durable::read_optional(CWD, path, MAX_KEYS)?.ok_or_else(missing)?;
    Ok(String::from_utf8(bytes).map_err(|_| missing())?)
}

impl VerifyKeys {
    /// Whether keys were named in any way.
    pub(super) fn are_given(&self) -> bool {
        !self.key_ids.is_empty() || self.keys_file.is_some() || self.keys_dir.is_some()
    }

    /// The keys that were named, and those of a directory or of the system when none were.
    pub(super) fn verifier(&self) -> Result<Verifier, Failure> {
        let scheme = scheme(&self.sign_type)?;
        let mut verifier = Verifier::new(scheme)?;
        for key in &self.key_ids {
            verifier.trust(key)?;
        }
        if let Some(file) = &self.keys_file {
            verifier.trust_file(&read(file)?)?;
        }
        if self.key_ids.is_empty() && self.keys_file.is_none() {
            return self.of_the_system(scheme);
        }
        Ok(verifier)
    }

    fn of_the_system(&self, scheme: Scheme) -> Result<Verifier, Failure> {
        let (root, instead) = match &self.keys_dir {
            Some(dir) => (dir.as_path(), Some(Path::new("."))),
            None => (Path::new("/"), None),
        };
        Ok(trust::system_verifier(scheme, &stores(root)?, instead)?)
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
    file: Option<&Path>,
) -> Result<Vec<Signer>, Failure> {
    if keys.is_empty() && file.is_none() {
        return Ok(Vec::new());
    }
    let scheme = scheme(sign_type)?;
    let mut signers = Vec::new();
    for key in keys {
        signers.push(Signer::new(scheme, key)?);
    }
    if let Some(file) = file {
        signers.extend(Signer::from_file(scheme, &read(file)?)?);
    }
    Ok(signers)
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
