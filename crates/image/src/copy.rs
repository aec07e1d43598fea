//! From one repository to another.

use error_class::{Classified, ErrorClass};
use oci::reference::ImageReference;
use ostree::{
    Expect, PullError, PullLocalOptions, PullStats, Repo, TransactionOptions, WriteError,
};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Progress};

use crate::collect::PullLock;
use crate::query::{QueryError, query_image};
use crate::refs::{RefNameError, ref_for_digest, ref_for_image};

/// Why an image was not copied. The name is as it was in the destination then; objects may be there
/// already.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The image cannot be described.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Objects cannot be copied.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// The destination cannot be written to.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The image has a name that no ref can have.
    #[error(transparent)]
    Name(#[from] RefNameError),
}

impl Classified for CopyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Query(error) => error.class(),
            Self::Pull(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Name(error) => error.class(),
        }
    }
}

/// Copy the stored `image` with its layers from `source` into `dest`, where it is called `target`.
///
/// # Errors
/// [`CopyError`].
pub fn copy(
    source: &Repo,
    image: &ImageReference,
    dest: &Repo,
    target: &ImageReference,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<PullStats, CopyError> {
    let state = query_image(source, image)?.ok_or_else(|| QueryError::NotStored(image.clone()))?;
    let mut refs = Vec::new();
    for digest in state.layer_digests()? {
        let name = Refspec::local(ref_for_digest(&digest)?);
        // A layer whose ref is lost is no loss for the image: its content is in the merge commit.
        if let Some(commit) = source.read_ref(&name).map_err(QueryError::from)? {
            refs.push((name, commit));
        }
    }
    refs.push((Refspec::local(ref_for_image(target)?), state.merge_commit));
    let mut commits: Vec<Checksum> = refs.iter().map(|(_, commit)| *commit).collect();
    commits.extend(state.base_commit);
    commits.sort_unstable();
    commits.dedup();
    let commits: Vec<String> = commits.iter().map(ToString::to_string).collect();
    let _lock = PullLock::hold(dest)?;
    let options = PullLocalOptions::default();
    let stats = dest.pull_local(source, &commits, &options, progress, interrupt)?;
    let txn = dest.begin(TransactionOptions::default())?;
    for (name, commit) in refs {
        txn.set_ref(name, Expect::Any, Some(commit));
    }
    txn.commit(progress, interrupt)?;
    Ok(stats)
}
