//! Removing images, and the layers that nothing needs any more.

use std::path::Path;
use std::time::Duration;

use durable::{Lock, LockError};
use oci::reference::ImageReference;
use ostree::{Expect, Repo, TransactionOptions, WriteError};
use ostree_format::refs::Refspec;
use progress::{Interrupt, Silent};

use crate::ImportError;
use crate::collection::collect_layers_alone;
use crate::query::merge_commit;
use crate::refs::ref_for_image;

/// Held together by all pulls, and alone by whoever collects: a layer that was just fetched is not
/// named by any image yet.
const PULL_LOCK: &str = ".bootroot-pull-lock";

/// See [`PULL_LOCK`].
#[derive(Debug)]
pub(crate) struct PullLock(#[expect(dead_code, reason = "held for its drop")] Lock);

impl PullLock {
    /// Keep collectors away.
    pub(crate) fn hold(repo: &Repo) -> Result<Self, WriteError> {
        let timeout = repo.config().lock_timeout;
        Ok(Self(Lock::shared(
            repo.dir(),
            Path::new(PULL_LOCK),
            timeout,
        )?))
    }
}

/// What a collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collected {
    /// This many layer refs were removed.
    Layers(usize),
    /// Nothing, because a pull is running.
    PullRunning,
}

/// Remove the refs of layers that no image, base image or deployment needs. Objects go with the
/// next prune of the repository.
///
/// # Errors
/// [`ImportError`]; no ref is removed unless all that need layers could be read.
pub fn collect_layers(repo: &Repo) -> Result<Collected, ImportError> {
    let count = collect_layers_alone(repo)?;
    Ok(count.map_or(Collected::PullRunning, Collected::Layers))
}

/// Keep pulls away, if none is running.
pub(crate) fn alone(repo: &Repo) -> Result<Option<Lock>, WriteError> {
    match Lock::exclusive(repo.dir(), Path::new(PULL_LOCK), Duration::ZERO) {
        Err(LockError::Busy { .. }) => Ok(None),
        other => Ok(Some(other?)),
    }
}

/// Remove images by name. Returns the names that were not stored; the others are removed all the same.
/// Layers stay until [`collect_layers`].
///
/// # Errors
/// [`ImportError`]; then no image is removed.
pub fn remove_images<'a>(
    repo: &Repo,
    images: impl IntoIterator<Item = &'a ImageReference>,
) -> Result<Vec<&'a ImageReference>, ImportError> {
    let txn = repo.begin(TransactionOptions::default())?;
    let mut missing = Vec::new();
    for image in images {
        match merge_commit(repo, image)? {
            Some(_) => txn.set_ref(Refspec::local(ref_for_image(image)?), Expect::Any, None),
            None => missing.push(image),
        }
    }
    txn.commit(&Silent, &Interrupt::default())?;
    Ok(missing)
}
