//! Removing what is left over: deployments that nothing boots, kernels that no entry names, layers that nothing has,
//! objects that no ref leads to.

use image::CollectionPlan;
use ostree::{PruneOptions, Repo};
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{CleanupPlan, Sysroot};

use crate::derived::keep_bases;
use crate::{ChangeError, ChangeOptions, prune_container_store};

/// The form of an answer.
const SCHEMA: &str = "bootroot.cleanup/1";

/// What a clean-up removes, or has removed (`docs/cleanup.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Cleaned {
    schema: &'static str,
    /// Whether it was removed, or only planned.
    pub made: bool,
    /// Deployments that no boot entry leads to, as `STATEROOT COMMIT.SERIAL`.
    pub deployments: Vec<String>,
    /// Files of kernels in `/boot` that no entry names.
    pub boot_files: Vec<String>,
    /// Sets of boot entries and links that are not active, and files that were being written.
    pub strays: Vec<String>,
    /// Layers that neither an image nor a deployment has, by digest.
    pub layers: Vec<String>,
    /// Objects of the repository that no ref leads to. What becomes free with the refs of removed
    /// deployments and layers is counted once those are removed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Cleaned {
    /// Of a system whose roots are images of composefs.
    pub(crate) fn of_roots(
        roots: composefs_root::Collected,
        store: composefs::Collected,
        made: bool,
    ) -> Self {
        let kernels = roots.kernels.iter();
        Self {
            schema: SCHEMA,
            made,
            deployments: roots.states,
            boot_files: kernels
                .map(|name| format!("bootc_composefs-{name}"))
                .collect(),
            strays: roots.strays,
            layers: Vec::new(),
            objects: store.objects,
            bytes: store.bytes,
        }
    }
}

/// Remove what is left over.
///
/// # Errors
/// [`ChangeError`]; what was removed until then is gone.
pub fn cleanup(
    sysroot: &Sysroot,
    options: &ChangeOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Cleaned, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let plan = if options.dry_run {
        locked.plan_cleanup(&locked.load()?)?
    } else {
        let commits: Vec<_> = locked
            .load()?
            .listed()
            .iter()
            .map(|one| one.id().commit)
            .collect();
        keep_bases(locked.repo(), &commits)?;
        let cleaned = locked.cleanup()?;
        prune_container_store(&locked).map_err(Box::new)?;
        cleaned
    };
    let layers = unneeded_layers(locked.repo(), options.dry_run)?;
    let unreachable = PruneOptions::without_ancestors();
    let prune = sysroot.repo().plan_prune(&unreachable, interrupt)?;
    let stats = if options.dry_run {
        prune.stats()
    } else {
        prune.apply(progress, interrupt)?
    };
    Ok(describe(
        plan,
        layers,
        (stats.deleted, stats.bytes),
        !options.dry_run,
    ))
}

/// Layers that neither an image nor a deployment has; unless it is only planned, their names go. Images stay, whoever
/// uses them.
fn unneeded_layers(repo: &Repo, only_planned: bool) -> Result<Vec<String>, ChangeError> {
    let plan = if only_planned {
        CollectionPlan::new(repo, None)
    } else {
        CollectionPlan::carry_out(repo, None)
    };
    let layers = plan.map_err(Box::new)?.layers.into_iter();
    Ok(layers
        .filter(|layer| !layer.stays)
        .map(|layer| layer.name)
        .collect())
}

fn describe(
    plan: CleanupPlan,
    layers: Vec<String>,
    (objects, bytes): (u64, u64),
    made: bool,
) -> Cleaned {
    let deployments = plan.deployments.iter();
    Cleaned {
        schema: SCHEMA,
        made,
        deployments: deployments.map(ToString::to_string).collect(),
        boot_files: plan.boot_files,
        layers,
        strays: plan.boot_sets.into_iter().chain(plan.strays).collect(),
        objects,
        bytes,
    }
}
