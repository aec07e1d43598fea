//! Copying images between repositories, and forgetting pending updates.

use image::{CopyError, clear_cached_update};
use oci::reference::ImageReference;
use ostree::{PullStats, Repo, WriteError};
use progress::{Interrupt, Progress};

use crate::StoredError;
use crate::stored::stored;

/// Copies a stored image with its layers into another repository, where it is called `target`.
///
/// # Errors
/// [`CopyError`]; the name is as it was in the destination then.
pub fn image_copy(
    source: &Repo,
    image: &ImageReference,
    dest: &Repo,
    target: &ImageReference,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<PullStats, CopyError> {
    image::copy(source, image, dest, target, progress, interrupt)
}

/// Forgets what a pull of the image would bring, until it is asked for again.
///
/// # Errors
/// [`StoredError`] when the image is not stored; the inner error when its metadata cannot be written.
pub fn image_clear_cached_update(
    repo: &Repo,
    image: &ImageReference,
) -> Result<Result<(), WriteError>, StoredError> {
    let state = stored(repo, image)?;
    Ok(clear_cached_update(repo, &state.merge_commit))
}
