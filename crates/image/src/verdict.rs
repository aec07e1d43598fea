//! Who vouched for an image when it was pulled.
//!
//! Kept as detached metadata of the merge commit, so that the commit is the same with and without.

use ostree::{Repo, WriteError};
use ostree_format::Checksum;

use crate::cached_update::edit;
use crate::query::QueryError;

const KEY: &str = "bootroot.image-verdict";

/// Records what was found about the signatures of an image, as text in the caller's form.
///
/// # Errors
/// [`WriteError`]; what was recorded before is untouched then.
pub fn record_verdict(repo: &Repo, commit: &Checksum, verdict: &str) -> Result<(), WriteError> {
    edit(repo, commit, |metadata| {
        metadata.insert(KEY, verdict.to_owned());
    })
}

/// What was recorded, if anything.
///
/// # Errors
/// [`QueryError::Read`] when the metadata cannot be read at all.
pub fn recorded_verdict(repo: &Repo, commit: &Checksum) -> Result<Option<String>, QueryError> {
    let metadata = repo.load_detached_metadata(commit)?;
    Ok(metadata.and_then(|metadata| metadata.get_str(KEY).map(str::to_owned)))
}
