//! `bootroot ostree remote gpg-import` and `gpg-list-keys`

use std::io::{Read as _, Write};
use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use signature::gpg::{KeyQuery, Keyring, KeyringError};
use trust::GpgHome;

use crate::context::Context;
use crate::environment;
use crate::outcome::Failure;
use crate::verbs::ostree::signatures::zone;

/// Import GPG keys into the keyring of a remote
#[derive(Debug, Args)]
pub(crate) struct GpgImport {
    /// A file with keys; may be repeated
    #[arg(short, long, value_name = "FILE")]
    keyring: Vec<PathBuf>,
    /// Read keys from standard input
    #[arg(long, conflicts_with = "keyring")]
    stdin: bool,
    /// The remote
    name: String,
    /// Import only these keys
    #[arg(value_name = "KEY-ID")]
    keys: Vec<String>,
}

/// Show the GPG keys of a remote, or (without NAME) of the system
#[derive(Debug, Args)]
pub(crate) struct GpgListKeys {
    /// The remote
    name: Option<String>,
}

/// Where keys should come from, there are none.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error("cannot read {from}: {source}")]
    Read {
        from: String,
        source: std::io::Error,
    },
    #[error("cannot use {from}: {source}")]
    Keyring { from: String, source: KeyringError },
}

impl Classified for SourceError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::Keyring { source, .. } => source.class(),
        }
    }
}

impl GpgImport {
    pub(super) fn run(self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let source = if self.stdin {
            of_stdin()?
        } else if self.keyring.is_empty() {
            GpgHome::default().public_keys()?
        } else {
            of_files(&self.keyring)?
        };
        import(context, repo, &self.name, &source, &self.keys)
    }
}

/// Imports all keys of a file, and says how many were new.
pub(super) fn import_file(
    context: &Context,
    repo: &Repo,
    remote: &str,
    file: PathBuf,
) -> Result<(), Failure> {
    import(context, repo, remote, &of_files(&[file])?, &[])
}

fn import(
    context: &Context,
    repo: &Repo,
    remote: &str,
    source: &Keyring,
    keys: &[String],
) -> Result<(), Failure> {
    let queries: Vec<KeyQuery> = keys.iter().map(|key| KeyQuery::new(key)).collect();
    let new = trust::import_keys(repo, remote, source, &queries)?.new;
    let plural = if new == 1 { "" } else { "s" };
    let mut out = context.results();
    writeln!(out, "Imported {new} GPG key{plural} to remote \"{remote}\"")?;
    Ok(out.finish()?)
}

fn of_files(paths: &[PathBuf]) -> Result<Keyring, SourceError> {
    let mut keyring = Keyring::new();
    for path in paths {
        let from = path.display().to_string();
        match std::fs::read(path) {
            Ok(bytes) => add(&mut keyring, &bytes, from)?,
            Err(source) => return Err(SourceError::Read { from, source }),
        }
    }
    Ok(keyring)
}

fn of_stdin() -> Result<Keyring, SourceError> {
    let from = "standard input".to_owned();
    let mut bytes = Vec::new();
    if let Err(source) = std::io::stdin().read_to_end(&mut bytes) {
        return Err(SourceError::Read { from, source });
    }
    let mut keyring = Keyring::new();
    add(&mut keyring, &bytes, from)?;
    Ok(keyring)
}

fn add(keyring: &mut Keyring, bytes: &[u8], from: String) -> Result<(), SourceError> {
    let added = keyring.add(bytes);
    added.map_err(|source| SourceError::Keyring { from, source })?;
    Ok(())
}

impl GpgListKeys {
    pub(super) fn run(self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let stores = context.place().key_stores()?;
        let keyring = match &self.name {
            Some(name) => trust::keys_of_remote(repo, name, &stores)?,
            None => trust::keys_of_system(&stores)?,
        };
        let mut out = context.results();
        for listing in keyring.list(environment::now()) {
            write!(out, "{}", listing.describe(&zone))?;
        }
        Ok(out.finish()?)
    }
}
