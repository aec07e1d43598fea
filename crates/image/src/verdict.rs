//! Who vouched for an image when it was pulled.
//!
//! Noted of the merge commit, which is the same with and without.

use ostree::{Repo, WriteError};
use ostree_format::Checksum;

use crate::notes::{edit, noted};
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
    Ok(noted(repo, commit)?.get_str(KEY).map(str::to_owned))
}
