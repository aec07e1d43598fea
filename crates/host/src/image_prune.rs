//! Removing what nothing needs any more: images, base images, layers, and then objects.

use error_class::{Classified, ErrorClass};
use image::{CollectionPlan, ImportError, Usage};
use oci::reference::OstreeImageReference;
use ostree::{PruneError, PruneOptions, Repo};
use progress::{Interrupt, Progress};
use serde::Serialize;

use crate::derived::base_commit;
use crate::{Storage, StorageError};

/// What stays and what goes (`docs/image-prune.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Pruned {
    schema: &'static str,
    /// Whether nothing was done, only found out.
    pub dry_run: bool,
    /// Images, base images and layers, each with the reason.
    #[serde(flatten)]
    pub plan: CollectionPlan,
    /// Objects that were deleted, or that nothing needs even before the refs go.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Why nothing was removed, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneImagesError {
    /// The deployments cannot be read, so it is not known what they use.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The deployments cannot be listed.
    #[error(transparent)]
    Deployments(#[from] Box<sysroot::LoadError>),
    /// The images cannot be read, or refs not be removed.
    #[error(transparent)]
    Store(#[from] Box<ImportError>),
    /// Objects cannot be removed.
    #[error(transparent)]
    Prune(#[from] PruneError),
}

impl Classified for PruneImagesError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Storage(error) => error.class(),
            Self::Deployments(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Prune(error) => error.class(),
        }
    }
}

/// How far a collection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PruneDepth {
    /// Names only.
    Refs,
    /// Names, and then the objects that nothing needs.
    Objects,
}

/// Removes images that no deployment uses, base images that no deployment is derived from, and layers
/// that nothing has, then the objects that nothing needs. With `dry_run` it only finds out. Where there
/// is no system around the repository, all images stay, and so do the ancestors of commits.
///
/// # Errors
/// [`PruneImagesError`]. Nothing is removed unless everything that may need something could be read.
pub fn image_prune(
    storage: &Storage,
    depth: PruneDepth,
    dry_run: bool,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Pruned, PruneImagesError> {
    let repo = storage.repo();
    let usage = usage(storage)?;
    let usage = usage.as_ref();
    // On a system, as ostree-ext and libostree's clean-up do: what only an older version was made of goes.
    // Elsewhere the history of branches is somebody's work.
    let options = match usage {
        Some(_) => PruneOptions::without_ancestors(),
        None => PruneOptions {
            refs_only: true,
            ..PruneOptions::default()
        },
    };
    if dry_run {
        let plan = CollectionPlan::new(repo, usage).map_err(Box::new)?;
        let objects = repo.plan_prune(&options, interrupt)?;
        return Ok(Pruned {
            schema: SCHEMA,
            dry_run,
            plan,
            objects: objects.stats().deleted,
            bytes: objects.bytes,
        });
    }
    let plan = CollectionPlan::carry_out(repo, usage).map_err(Box::new)?;
    let done = match depth {
        PruneDepth::Refs => ostree::PruneStats::default(),
        PruneDepth::Objects => repo.prune(&options, progress, interrupt)?,
    };
    Ok(Pruned {
        schema: SCHEMA,
        dry_run,
        plan,
        objects: done.deleted,
        bytes: done.bytes,
    })
}

/// Removes the names of layers that nothing has; how many. `None` while a pull is running.
///
/// # Errors
/// [`PruneImagesError::Store`].
pub fn image_prune_layers(repo: &Repo) -> Result<Option<usize>, PruneImagesError> {
    match image::collect_layers(repo).map_err(Box::new)? {
        image::Collected::Layers(count) => Ok(Some(count)),
        image::Collected::PullRunning => Ok(None),
    }
}

const SCHEMA: &str = "bootroot.image-prune/1";

/// What deployments use, staged and pinned ones included; nothing where there is only a repository.
fn usage(storage: &Storage) -> Result<Option<Usage>, PruneImagesError> {
    let sysroot = match storage.sysroot() {
        Err(StorageError::NoSystem) => return Ok(None),
        other => other?,
    };
    let status = sysroot.status().map_err(Box::new)?;
    let mut usage = Usage::default();
    for deployment in status.deployments {
        let who = format!("deployment {}", deployment.index);
        usage
            .commits
            .entry(deployment.commit)
            .or_insert_with(|| who.clone());
        // The base of a derived commit is the image that the deployment follows.
        if let Ok(Some(base)) = base_commit(storage.repo(), &deployment.commit) {
            usage.commits.entry(base).or_insert_with(|| who.clone());
        }
        let image = deployment.image_reference.as_deref();
        if let Some(image) = image.and_then(|text| text.parse::<OstreeImageReference>().ok()) {
            usage.images.entry(image.imgref.to_string()).or_insert(who);
        }
    }
    Ok(Some(usage))
}
