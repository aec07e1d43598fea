//! `bootroot ostree sign`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::{Checksum, Metadata};
use signature::{Scheme, Verified, Verifier};
use trust::{GpgHome, KeyStores, Signing};

use super::signatures::{self, KeysError};
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Sign a commit with bare keys, or verify such signatures
#[derive(Debug, Args)]
pub(crate) struct Sign {
    /// Verify signatures
    #[arg(long)]
    verify: bool,
    /// Signature type to use
    #[arg(short, long, value_name = "NAME", default_value = "ed25519")]
    sign_type: String,
    /// Read keys from a file: secret keys to sign, public keys to verify
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// Look for trusted and revoked keys in this directory instead of those of the system
    #[arg(long, value_name = "DIR")]
    keys_dir: Option<PathBuf>,
    /// The commit
    commit: String,
    /// Keys: secret ones to sign, public ones to verify
    #[arg(value_name = "KEY-ID")]
    keys: Vec<String>,
}

/// Nothing to sign with, or nothing that is valid.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error("Need at least one KEY-ID to sign with")]
    NoKeys,
    #[error("No valid signatures found")]
    NotValid,
}

impl Classified for SignError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoKeys => ErrorClass::InvalidInput,
            Self::NotValid => ErrorClass::Untrusted,
        }
    }
}

impl Sign {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if !self.verify && self.keys_file.is_none() && self.keys.is_empty() {
            return Err(SignError::NoKeys.into());
        }
        let repo = context.place().open_repository()?;
        let commit = repo.resolve(&self.commit)?;
        let stores = context.place().key_stores()?;
        if self.verify {
            let verified = self.verified(&repo, &commit, &stores)?;
            let mut out = context.results();
            writeln!(out, "{verified}")?;
            out.finish()?;
        } else {
            let signing = self.signing(&stores)?;
            trust::sign_commit(&repo, &commit, &signing, environment::now())?;
        }
        Ok(Exit::Done)
    }

    fn signing(&self, stores: &KeyStores) -> Result<Signing, KeysError> {
        let scheme = signatures::scheme(&self.sign_type)?;
        let files: Vec<PathBuf> = self.keys_file.iter().cloned().collect();
        Ok(Signing {
            keys: signatures::secret_keys(scheme, &self.keys, &files, stores)?,
            home: GpgHome::default(),
            gpg: Vec::new(),
        })
    }

    /// The first valid signature: by keys from the command line, then from the file, and without either
    /// by those of the system.
    fn verified(
        &self,
        repo: &Repo,
        commit: &Checksum,
        stores: &KeyStores,
    ) -> Result<Verified, Failure> {
        let scheme = signatures::scheme(&self.sign_type)?;
        let data = trust::commit_bytes(repo, commit)?;
        let metadata = repo.load_detached_metadata(commit)?.unwrap_or_default();
        if let Some(verified) = self.by_inline_keys(scheme, &data, &metadata, stores) {
            return Ok(verified);
        }
        if self.keys_file.is_none() && !self.keys.is_empty() {
            return Err(SignError::NotValid.into());
        }
        let verifier = match &self.keys_file {
            Some(path) => {
                let mut verifier = Verifier::new(scheme)?;
                signatures::trust_file(&mut verifier, path)?;
                verifier
            }
            None => signatures::system_verifier(scheme, stores, self.keys_dir.as_deref())?,
        };
        Ok(verifier.verify(&data, &metadata)?)
    }

    /// Keys that are none, and those that fit no signature, are passed over.
    fn by_inline_keys(
        &self,
        scheme: Scheme,
        data: &[u8],
        metadata: &Metadata,
        stores: &KeyStores,
    ) -> Option<Verified> {
        let allowed = scheme != Scheme::Dummy || stores.allows_dummy();
        let keys = self.keys.iter().filter(|_| allowed);
        let verify = |key: &String| {
            let mut verifier = Verifier::new(scheme).ok()?;
            verifier.trust(key).ok()?;
            verifier.verify(data, metadata).ok()
        };
        keys.into_iter().find_map(verify)
    }
}
