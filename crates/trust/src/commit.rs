//! The signatures of a commit that is stored.

use error_class::{Classified, ErrorClass};
use ostree::{ReadError, Repo, TransactionOptions, WriteError};
use ostree_format::{Checksum, Metadata, ObjectKind, ObjectName};
use progress::{Interrupt, Silent};
use signature::Scheme;
use signature::detached::{self, WrongType};
use signature::gpg::{self, KeyQuery, Keyring};

use crate::{Signing, SigningError};

/// Why the signatures of a commit were not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignCommitError {
    /// The commit or its detached metadata cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The signatures that are there are damaged.
    #[error(transparent)]
    Metadata(#[from] WrongType),
    /// The detached metadata could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Classified for SignCommitError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Signing(error) => error.class(),
            Self::Metadata(error) => error.class(),
            Self::Write(error) => error.class(),
        }
    }
}

/// Sign a commit with all keys. `now` is in seconds since 1970.
///
/// # Errors
/// [`SignCommitError`]; the commit has the signatures that it had before then.
pub fn sign_commit(
    repo: &Repo,
    commit: &Checksum,
    signing: &Signing,
    now: u64,
) -> Result<(), SignCommitError> {
    let data = commit_bytes(repo, commit)?;
    let mut metadata = repo.load_detached_metadata(commit)?.unwrap_or_default();
    signing.sign(&data, &mut metadata, now)?;
    write(repo, commit, &metadata)
}

/// Remove the GPG signatures that were made by the keys that `queries` name; how many there were.
/// Only keys in `keyring` are known. `now` is in seconds since 1970.
///
/// # Errors
/// [`SignCommitError`]; the commit has the signatures that it had before then.
pub fn delete_signatures(
    repo: &Repo,
    commit: &Checksum,
    keyring: &Keyring,
    queries: &[KeyQuery],
    now: u64,
) -> Result<usize, SignCommitError> {
    let data = commit_bytes(repo, commit)?;
    let mut metadata = repo.load_detached_metadata(commit)?.unwrap_or_default();
    let there = detached::list(&metadata, Scheme::Gpg)?;
    let verification = gpg::verify(&data, &there, keyring, &gpg::Policy::default(), now);
    let found = |query| verification.find(keyring, query);
    let doomed: Vec<usize> = queries
        .iter()
        .filter_map(found)
        .map(|report| verification.reports[report].entry)
        .collect();
    let deleted = detached::retain(&mut metadata, Scheme::Gpg, |at, _| !doomed.contains(&at))?;
    if deleted > 0 {
        write(repo, commit, &metadata)?;
    }
    Ok(deleted)
}

/// The commit object as it is stored.
///
/// # Errors
/// [`ReadError`].
pub fn commit_bytes(repo: &Repo, commit: &Checksum) -> Result<Vec<u8>, ReadError> {
    let name = ObjectName::new(*commit, ObjectKind::Commit);
    repo.load_bytes(&name)?.ok_or(ReadError::Missing(name))
}

fn write(repo: &Repo, commit: &Checksum, metadata: &Metadata) -> Result<(), SignCommitError> {
    let transaction = repo.begin(TransactionOptions::default())?;
    transaction.write_detached_metadata(*commit, metadata)?;
    transaction.commit(&Silent, &Interrupt::default())?;
    Ok(())
}
