//! What an upgrade of a root that is an image of composefs does, as far as that is known before anything is fetched.

use std::os::fd::AsFd as _;

use composefs::Store;
use composefs_image::{RootKind, StoredImage};
use composefs_root::{BootSpace, RootDeployment, RootEntry, RootOrigin, RootPlan};
use image::{LINUX_LABEL, label_of, version_of};

use crate::backend::Job;
use crate::composefs_backend::Wanted;
use crate::composefs_fetch::{Made, at_source, made, version};
use crate::composefs_pull::{Documents, space_left};
use crate::packages::{PackageChanges, components};
use crate::space::{FileSystemPlan, Unpacked, require_space};
use crate::{
    ArgumentChanges, BootedComposefs, Change, ChangeError, ComposefsPullError, LayerCount,
    UpgradePlan, Upgraded, composefs_prune, composefs_store,
};

/// What is deployed until now.
#[derive(Default)]
struct Current {
    digest: Option<String>,
    stored: Option<StoredImage>,
    kernel: Option<String>,
    arguments: Vec<String>,
}

impl BootedComposefs {
    /// What following an image would do.
    pub(crate) fn plan_following(
        &self,
        store: &Store,
        wanted: &Wanted<'_>,
        job: &Job<'_>,
    ) -> Result<Upgraded, ChangeError> {
        let found = match job.options.from_downloaded {
            true => composefs_image::find(store, &wanted.follows.imgref.to_string())?,
            false => {
                let documents = at_source(wanted.image, job)?;
                let digest = documents.manifest.digest().to_string();
                match composefs_image::find(store, &digest) {
                    Ok(found) if found.image(store, RootKind::Boot).is_some() => found,
                    _ => return self.plan_fetching(store, wanted, &documents),
                }
            }
        };
        let made = made(store, &found, (0, 0), 0)?;
        let mut upgraded = Upgraded::nothing(wanted.follows);
        upgraded.root = Some(made.fetched.clone());
        if let Some(held) = self.is_next(&made.root, wanted.follows)? {
            upgraded.staged = self.roots.staged()?.is_some();
            upgraded.held = held;
            return Ok(upgraded);
        }
        let request = self.request(wanted, &made, job.options)?;
        let plan = self.roots.plan_deploy(&request)?;
        upgraded.change = Some(Change::of_new_root(&plan, false));
        upgraded.plan = Some(self.plan_of(store, &made, &plan)?);
        Ok(upgraded)
    }

    /// What fetching and deploying would do.
    fn plan_fetching(
        &self,
        store: &Store,
        wanted: &Wanted<'_>,
        documents: &Documents,
    ) -> Result<Upgraded, ChangeError> {
        let mut upgraded = Upgraded::nothing(wanted.follows);
        upgraded.plan = Some(self.plan_before_fetch(store, documents)?);
        Ok(upgraded)
    }

    /// What is known of an image that is deployed next, which is stored.
    pub(crate) fn plan_of(
        &self,
        store: &Store,
        made: &Made,
        plan: &RootPlan,
    ) -> Result<UpgradePlan, ChangeError> {
        let current = self.current(store)?;
        let next = composefs_image::find(store, &made.fetched.digest)?;
        let first = plan.menu.first().map(RootEntry::own_args);
        let arguments = first.unwrap_or_default().to_strings();
        Ok(UpgradePlan {
            digest: made.fetched.digest.clone(),
            version: made.fetched.version.clone(),
            current_version: current.stored.as_ref().and_then(version),
            packages: packages(current.stored.as_ref(), next.manifest.manifest().layers()),
            current_digest: current.digest,
            layers: made.fetched.layers,
            bytes_to_fetch: made.fetched.bytes_fetched,
            space: vec![nothing_new(store)?, boot_space(plan.boot, false)],
            current_kernel: current.kernel,
            kernel: plan.kernel.clone(),
            kernel_arguments: Some(ArgumentChanges::between(&current.arguments, &arguments)),
            removed: plan.removed.clone(),
            stored: true,
        })
    }

    /// What is known of an image that is not stored.
    pub(crate) fn plan_before_fetch(
        &self,
        store: &Store,
        documents: &Documents,
    ) -> Result<UpgradePlan, ChangeError> {
        let current = self.current(store)?;
        let missing = documents.missing(store)?;
        let config = documents.config.config();
        let boot = self.roots.space_like_first()?;
        let root = documents.space(store)?;
        let layers = documents.manifest.manifest().layers();
        Ok(UpgradePlan {
            digest: documents.manifest.digest().to_string(),
            version: version_of(config).map(str::to_owned),
            current_version: current.stored.as_ref().and_then(version),
            packages: packages(current.stored.as_ref(), layers),
            current_digest: current.digest,
            layers: LayerCount {
                total: layers.len(),
                fetched: missing.len(),
                local: None,
            },
            bytes_to_fetch: missing.iter().map(|layer| layer.size).sum(),
            space: vec![root, boot_space(boot, true)],
            current_kernel: current.kernel,
            kernel: label_of(config, LINUX_LABEL).map(str::to_owned),
            kernel_arguments: None,
            removed: self.roots.driven_out()?,
            stored: false,
        })
    }

    /// Refuses what finds no space, before anything is fetched.
    pub(crate) fn require_space(
        &self,
        store: &Store,
        documents: &Documents,
        job: &Job<'_>,
    ) -> Result<Option<UpgradePlan>, ComposefsPullError> {
        // Whatever cannot be told now is told when it is deployed.
        let plan = self.plan_before_fetch(store, documents).ok();
        let space = match &plan {
            Some(plan) => plan.space.clone(),
            None => vec![documents.space(store)?],
        };
        require_space(&space, job.progress, || self.what_frees_space())?;
        Ok(plan)
    }

    /// What could be removed to make space, as commands.
    fn what_frees_space(&self) -> Vec<String> {
        let mut commands = Vec::new();
        let physical = self.physical.try_clone().ok();
        let store = composefs_store(self.physical.as_fd()).ok().flatten();
        let pruned = store.zip(physical).and_then(|(mut store, physical)| {
            composefs_prune(&mut store, physical, &[], true).ok()
        });
        if let Some(pruned) = pruned.filter(|pruned| pruned.bytes > 0) {
            commands.push(format!("`bootroot cleanup` ({} bytes)", pruned.bytes));
        }
        let found = self.roots.deployments().unwrap_or_default();
        let stays = found.iter().position(|one| one.booted).unwrap_or(0);
        let others = found.iter().enumerate();
        let others = others.filter(|(index, _)| *index != stays);
        commands.extend(others.map(|(index, one)| {
            let id = one.id;
            format!("`bootroot undeploy {index}` ({id}) and `bootroot cleanup`")
        }));
        commands.push("`bootroot composefs remove` and `bootroot cleanup`".to_owned());
        commands
    }

    fn current(&self, store: &Store) -> Result<Current, ChangeError> {
        let Some(before) = self.before()? else {
            return Ok(Current::default());
        };
        let digest = before.origin.as_ref().and_then(RootOrigin::manifest_digest);
        let stored = digest.as_deref();
        let stored = stored.and_then(|digest| composefs_image::find(store, digest).ok());
        let arguments = |before: &RootDeployment| Some(before.entry.as_ref()?.own_args());
        Ok(Current {
            // What cannot be read tells nothing.
            kernel: self.roots.kernel(&before.id).unwrap_or_default(),
            arguments: arguments(&before).unwrap_or_default().to_strings(),
            digest,
            stored,
        })
    }
}

/// The repository, when all is there.
fn nothing_new(store: &Store) -> Result<FileSystemPlan, ChangeError> {
    let available = space_left(store).map_err(composefs::StoreError::from)?;
    Ok(Unpacked::default().on("/", available))
}

fn boot_space(boot: BootSpace, estimate: bool) -> FileSystemPlan {
    FileSystemPlan {
        place: boot.place,
        needed: boot.needed,
        at_least: if estimate { 0 } else { boot.needed },
        available: boot.available,
        estimate: estimate && boot.needed > 0,
    }
}

fn packages(
    current: Option<&StoredImage>,
    next: &[oci::spec::Descriptor],
) -> Option<PackageChanges> {
    let old = components(current?.manifest.manifest().layers())?;
    Some(PackageChanges::between(&old, &components(next)?))
}
