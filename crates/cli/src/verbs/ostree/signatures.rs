//! What the verbs that sign, or show signatures, have in common.

use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Local, Offset};
use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;
use signature::gpg::{self, Keyring, Verification};
use signature::{KeyError, Scheme, Signer, Verifier, detached};
use trust::{GpgHome, KeyStores, Signing};

use crate::outcome::Failure;
use crate::place::open_dir;
use crate::{environment, results::Results};

/// Options of verbs that sign what they write.
#[derive(Debug, Args)]
pub(super) struct SignOptions {
    /// GPG key to sign with
    #[arg(long, value_name = "KEY-ID")]
    gpg_sign: Vec<String>,
    #[command(flatten)]
    home: HomeOption,
    /// Secret key to sign with; prefer a file, since others can see the command line
    #[arg(long, value_name = "KEY")]
    sign: Vec<String>,
    /// Signature type to use
    #[arg(long, value_name = "NAME", default_value = "ed25519")]
    sign_type: String,
}

/// Where GPG keys are.
#[derive(Debug, Clone, Args)]
pub(super) struct HomeOption {
    /// GPG home directory to use when looking for keyrings
    #[arg(long, value_name = "HOMEDIR")]
    gpg_homedir: Option<PathBuf>,
}

/// Why nothing could be signed or verified.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("Requested signature type is not implemented: {0:?}")]
    Scheme(String),
    #[error("dummy signature type is only for ostree testing")]
    Dummy,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: KeyError },
    #[error("cannot read {}: {source}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
}

impl Classified for KeysError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Scheme(_) | Self::Dummy => ErrorClass::Unsupported,
            Self::Key(error) | Self::File { source: error, .. } => error.class(),
            Self::Read { source, .. } => source.class(),
        }
    }
}

impl SignOptions {
    /// The keys; `files` are files with secret keys.
    pub(super) fn signing(
        &self,
        files: &[PathBuf],
        stores: &KeyStores,
    ) -> Result<Signing, KeysError> {
        let mut keys = Vec::new();
        if !self.sign.is_empty() || !files.is_empty() {
            keys = secret_keys(scheme(&self.sign_type)?, &self.sign, files, stores)?;
        }
        Ok(Signing {
            keys,
            home: self.home.home(),
            gpg: self.gpg_sign.clone(),
        })
    }

    pub(super) const fn home(&self) -> &HomeOption {
        &self.home
    }
}

impl HomeOption {
    pub(super) fn home(&self) -> GpgHome {
        GpgHome::new(self.gpg_homedir.clone())
    }

    /// Adds the public keys of the home directory that was named.
    pub(super) fn add_keys(&self, keyring: &mut Keyring) -> Result<(), Failure> {
        if let Some(path) = &self.gpg_homedir {
            let dir = open_dir("the GPG home directory", path)?;
            trust::add_keys_of_home(keyring, &dir)?;
        }
        Ok(())
    }
}

/// A kind of signature by bare keys.
pub(super) fn scheme(name: &str) -> Result<Scheme, KeysError> {
    let scheme = Scheme::from_name(name).filter(|scheme| *scheme != Scheme::Gpg);
    scheme.ok_or_else(|| KeysError::Scheme(name.to_owned()))
}

/// Secret keys from the command line, then from files.
pub(super) fn secret_keys(
    scheme: Scheme,
    inline: &[String],
    files: &[PathBuf],
    stores: &KeyStores,
) -> Result<Vec<Signer>, KeysError> {
    if scheme == Scheme::Dummy && !stores.allows_dummy() {
        return Err(KeysError::Dummy);
    }
    let mut keys = Vec::new();
    for key in inline {
        keys.push(Signer::new(scheme, key)?);
    }
    for path in files {
        let signers = Signer::from_file(scheme, &read(path)?);
        keys.extend(signers.map_err(|source| KeysError::File {
            path: path.clone(),
            source,
        })?);
    }
    Ok(keys)
}

/// Trusts the public keys of a file.
pub(super) fn trust_file(verifier: &mut Verifier, path: &PathBuf) -> Result<(), KeysError> {
    let trusted = verifier.trust_file(&read(path)?);
    trusted.map_err(|source| KeysError::File {
        path: path.clone(),
        source,
    })
}

/// Trusts the keys of the system, or those of the directory `dir` in their place.
pub(super) fn system_verifier(
    scheme: Scheme,
    stores: &KeyStores,
    dir: Option<&Path>,
) -> Result<Verifier, Failure> {
    let dir = dir.map(std::path::absolute).transpose()?;
    Ok(trust::system_verifier(scheme, stores, dir.as_deref())?)
}

fn read(path: &PathBuf) -> Result<String, KeysError> {
    std::fs::read_to_string(path).map_err(|source| KeysError::Read {
        path: path.clone(),
        source,
    })
}

/// The verdicts on the GPG signatures over `data`; `None` when there are none.
pub(super) fn verdicts(
    data: &[u8],
    metadata: &Metadata,
    keyring: &Keyring,
) -> Result<Option<Verification>, Failure> {
    let signatures = detached::list(metadata, Scheme::Gpg)?;
    if signatures.is_empty() {
        return Ok(None);
    }
    let policy = gpg::Policy::default();
    let now = environment::now();
    Ok(Some(gpg::verify(data, &signatures, keyring, &policy, now)))
}

/// `Found 1 signature:`, and the verdicts.
pub(super) fn show(found: &Verification, out: &mut Results) -> Result<(), Failure> {
    let text = gpg::describe_all(found, gpg::Heading::Found, &zone);
    Ok(write!(out, "{text}")?)
}

/// The verdicts one by one, as `ostree admin status` tells them.
pub(super) fn show_each(
    found: &Verification,
    prefix: &str,
    out: &mut Results,
) -> Result<(), Failure> {
    for report in &found.reports {
        write!(out, "{}", gpg::describe(report, prefix, &zone))?;
    }
    Ok(())
}

/// Seconds east of UTC where the user is.
pub(crate) fn zone(at: u64) -> i32 {
    let at = i64::try_from(at).ok();
    let time = at.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.map_or(0, |time| {
        let local = time.with_timezone(&Local);
        local.offset().fix().local_minus_utc()
    })
}
