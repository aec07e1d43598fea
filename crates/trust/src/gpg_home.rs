//! The keys of a GnuPG home directory.
//!
//! Secret keys in a home directory belong to gpg's agent, which may ask for a passphrase or a smart card,
//! and no other program can read them: signing with them means running `gpg`. Nothing else here runs
//! programs, and verifying never does.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use error_class::{Classified, ErrorClass};
use signature::gpg::{Keyring, KeyringError, SignError, detached_signature};

/// A GnuPG home directory.
#[derive(Debug, Clone, Default)]
pub struct GpgHome {
    dir: Option<PathBuf>,
}

/// `gpg` did not do what it was asked to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpgHomeError {
    /// It cannot be run.
    #[error("cannot run gpg, which is needed to sign with the keys of a GnuPG home directory: {0}")]
    Start(#[source] std::io::Error),
    /// The home directory does not have the key.
    #[error("No gpg key found with ID {key} (homedir: {home})")]
    NoSuchKey {
        /// The key that was asked for.
        key: String,
        /// The home directory.
        home: String,
    },
    /// Several keys fit.
    #[error("gpg key id {key} ambiguous (homedir: {home}). Try the fingerprint instead")]
    Ambiguous {
        /// The key that was asked for.
        key: String,
        /// The home directory.
        home: String,
    },
    /// It failed.
    #[error("gpg failed{}: {said}", with(.key))]
    Failed {
        /// The key that it should have used, if any.
        key: String,
        /// The last line that it wrote to standard error.
        said: String,
    },
    /// Its output is no keyring.
    #[error("unexpected output of gpg: {0}")]
    Keyring(#[from] KeyringError),
    /// Its output is no signature.
    #[error("unexpected output of gpg: {0}")]
    Signature(#[from] SignError),
}

fn with(key: &str) -> String {
    match key {
        "" => String::new(),
        key => format!(" with key {key}"),
    }
}

impl Classified for GpgHomeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Start(error) => error.class(),
            Self::NoSuchKey { .. } => ErrorClass::NotFound,
            Self::Ambiguous { .. } => ErrorClass::InvalidInput,
            Self::Failed { .. } => ErrorClass::Io,
            Self::Keyring(error) => error.class(),
            Self::Signature(error) => error.class(),
        }
    }
}

impl GpgHome {
    /// The home directory `dir`, or (`None`) the one that gpg chooses by itself.
    #[must_use]
    pub const fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// All public keys, for `ostree remote gpg-import` without a source.
    ///
    /// # Errors
    /// [`GpgHomeError`].
    pub fn public_keys(&self) -> Result<Keyring, GpgHomeError> {
        self.export(&["--export"], "")
    }

    /// The public part of the key that `key` names.
    ///
    /// # Errors
    /// [`GpgHomeError`] when there is none, or more than one.
    pub fn public_key(&self, key: &str) -> Result<Keyring, GpgHomeError> {
        let keyring = self.export(&["--export", "--", key], key)?;
        match keyring.len() {
            0 => Err(self.no_such_key(key)),
            1 => Ok(keyring),
            _ => Err(GpgHomeError::Ambiguous {
                key: key.to_owned(),
                home: self.name(),
            }),
        }
    }

    /// Signatures over `data` by the key that `key` names (`gpg --local-user`), as detached metadata hold
    /// them.
    ///
    /// # Errors
    /// [`GpgHomeError`].
    pub fn sign(&self, data: &[u8], key: &str) -> Result<Vec<Vec<u8>>, GpgHomeError> {
        let arguments = ["--local-user", key, "--detach-sign", "--output", "-"];
        Ok(detached_signature(&self.gpg(&arguments, data, key)?)?)
    }

    fn export(&self, arguments: &[&str], key: &str) -> Result<Keyring, GpgHomeError> {
        let mut keyring = Keyring::new();
        let exported = self.gpg(arguments, b"", key)?;
        if !exported.is_empty() {
            keyring.add(&exported)?;
        }
        Ok(keyring)
    }

    fn gpg(&self, arguments: &[&str], input: &[u8], key: &str) -> Result<Vec<u8>, GpgHomeError> {
        let mut command = Command::new("gpg");
        if let Some(dir) = &self.dir {
            command.arg("--homedir").arg(dir);
        }
        command.args(["--batch", "--no-armor", "--status-fd", "2"]);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .map_err(GpgHomeError::Start)?;
        if let Some(mut stdin) = child.stdin.take() {
            // When gpg does not want it, gpg says why.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(GpgHomeError::Start)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("[GNUPG:] INV_SGNR") {
            return Err(self.no_such_key(key));
        }
        let mut lines = said.lines().filter(|line| !line.starts_with("[GNUPG:]"));
        Err(GpgHomeError::Failed {
            key: key.to_owned(),
            said: lines.next_back().unwrap_or("it said nothing").to_owned(),
        })
    }

    fn no_such_key(&self, key: &str) -> GpgHomeError {
        GpgHomeError::NoSuchKey {
            key: key.to_owned(),
            home: self.name(),
        }
    }

    fn name(&self) -> String {
        let name = self.dir.as_ref().map(|dir| dir.display().to_string());
        name.unwrap_or_else(|| "<default>".to_owned())
    }
}
