//! Removing images, and the layers that nothing needs any more.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use durable::{Lock, LockError};
use oci::reference::ImageReference;
use ostree::{Expect, Repo, TransactionOptions, WriteError};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Silent};

use crate::ImportError;
use crate::keys::{
    BASE_IMAGE_PREFIX, DEPLOYMENT_PREFIXES, IMAGE_PREFIX, LAYER_PREFIX, META_MANIFEST_DIGEST,
};
use crate::list::refs_below;
use crate::query::{QueryError, manifest_of, merge_commit};
use crate::refs::{ref_for_image, unescape};

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
    let _alone = match Lock::exclusive(repo.dir(), Path::new(PULL_LOCK), Duration::ZERO) {
        Err(LockError::Busy { .. }) => return Ok(Collected::PullRunning),
        other => other.map_err(WriteError::from)?,
    };
    let needed = needed_layers(repo)?;
    let txn = repo.begin(TransactionOptions::default())?;
    let mut count = 0;
    for (name, _) in refs_below(repo, LAYER_PREFIX)? {
        if unescape(&name).is_none_or(|digest| needed.contains(&digest)) {
            continue;
        }
        if let Ok(name) = format!("{LAYER_PREFIX}/{name}").parse() {
            txn.set_ref(Refspec::local(name), Expect::Any, None);
            count += 1;
        }
    }
    txn.commit(&Silent, &Interrupt::default())?;
    Ok(Collected::Layers(count))
}

/// Digests of all layers that something needs.
fn needed_layers(repo: &Repo) -> Result<BTreeSet<String>, QueryError> {
    let mut commits: BTreeSet<Checksum> = BTreeSet::new();
    for prefix in DEPLOYMENT_PREFIXES
        .into_iter()
        .chain([IMAGE_PREFIX, BASE_IMAGE_PREFIX])
    {
        commits.extend(
            refs_below(repo, prefix)?
                .into_iter()
                .map(|(_, commit)| commit),
        );
    }
    let mut needed = BTreeSet::new();
    for checksum in commits {
        let commit = repo.load_commit(&checksum)?;
        if commit.metadata.get(META_MANIFEST_DIGEST).is_some() {
            let (_, manifest) = manifest_of(&checksum, &commit)?;
            needed.extend(
                manifest
                    .layers()
                    .iter()
                    .map(|layer| layer.digest().to_string()),
            );
        }
    }
    Ok(needed)
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
