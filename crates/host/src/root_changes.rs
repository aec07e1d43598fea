//! Changes of deployments whose roots are images of composefs, and looks at their `/etc`.

use std::os::fd::AsFd as _;

use boot_format::KernelArgs;
use composefs_root::{MenuChange, MenuPlan, RootDeployment, RootEntry, RootOrigin, overlay_usr};
use durable::IoContext as _;
use oci::reference::OstreeImageReference;
use progress::Progress;
use sysroot::{EtcChanges, StaterootName, UnlockError, UnlockFor, Unlocked};

use crate::upgrade::keep_signature;
use crate::{
    ArgsChange, BootedComposefs, Change, ChangeError, ChangeOptions, Cleaned, EtcPlace, Pinned,
    Selector, SwitchedInPlace, composefs_prune, composefs_store,
};

/// The one stateroot that there is, as bootc calls it.
const STATEROOT: &str = "default";

impl BootedComposefs {
    /// Plan a change, and make it unless it is only to be told.
    pub(crate) fn change(
        &self,
        change: &MenuChange,
        options: &ChangeOptions,
    ) -> Result<Change, ChangeError> {
        if options.dry_run {
            return Ok(Change::of_roots(&self.roots.plan_change(change)?, false));
        }
        let plan: MenuPlan = self.roots.change(change)?;
        if let Some(run) = self.roots.run().filter(|_| plan.gives_up.is_some()) {
            crate::reboot_required::take_back(run)?;
        }
        Ok(Change::of_roots(&plan, true))
    }

    pub(crate) fn undeploy_root(
        &self,
        selector: &Selector,
        options: &ChangeOptions,
    ) -> Result<Change, ChangeError> {
        let (_, found) = self.find(selector)?;
        let change = match found.staged {
            true => MenuChange::GiveUp,
            false => MenuChange::Remove(found.id),
        };
        self.change(&change, options)
    }

    /// The arguments of what boots first, without the one that names its image.
    pub(crate) fn first_arguments(&self) -> Result<KernelArgs, ChangeError> {
        let first = self.roots.deployments()?.into_iter().next();
        let first = first.ok_or(ChangeError::NoRollback)?;
        let args = first.entry.as_ref().map(RootEntry::own_args);
        Ok(args.unwrap_or_default())
    }

    pub(crate) fn change_arguments(
        &self,
        change: &ArgsChange,
        options: &ChangeOptions,
    ) -> Result<Change, ChangeError> {
        let mut args = self.first_arguments()?;
        change.apply_to(&mut args)?;
        self.change(&MenuChange::Arguments(args), options)
    }

    pub(crate) fn pin_root(
        &self,
        selector: &Selector,
        pinned: bool,
        options: &ChangeOptions,
    ) -> Result<Pinned, ChangeError> {
        let (index, found) = self.find(selector)?;
        if found.staged {
            return Err(ChangeError::Staged(selector.clone()));
        }
        let was = found.origin.as_ref().is_some_and(RootOrigin::is_pinned);
        if was != pinned && !options.dry_run {
            self.roots.set_pinned(&found.id, pinned)?;
        }
        Ok(Pinned::of_root(index, found.id.to_string(), was, pinned))
    }

    pub(crate) fn clean_up_roots(
        &self,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Cleaned, ChangeError> {
        let left = match options.dry_run {
            true => self.roots.plan_clean_up()?,
            false => self.roots.clean_up()?,
        };
        let mut pruned = composefs::Collected::default();
        if let Some(mut store) = composefs_store(self.physical.as_fd())? {
            let physical = self
                .physical
                .try_clone()
                .during("open", "the physical root")?;
            pruned = composefs_prune(&mut store, physical, &[], options.dry_run)?;
        }
        if !options.dry_run {
            self.prune_bound(progress);
        }
        Ok(Cleaned::of_roots(left, pruned, !options.dry_run))
    }

    pub(crate) fn follow_in_place(
        &self,
        image: &OstreeImageReference,
        drop_signature: bool,
        options: &ChangeOptions,
    ) -> Result<SwitchedInPlace, ChangeError> {
        let before = self.deployment(None)?;
        let mut image = image.clone();
        let current = self.image_of(&before).ok();
        keep_signature(&mut image, current.as_ref(), drop_signature);
        let reference = image.to_string();
        let follows = before.origin.as_ref().and_then(RootOrigin::image);
        let changed = follows.as_ref() != Some(&reference);
        if changed && !options.dry_run {
            self.roots.follow(&before.id, &reference)?;
        }
        let (id, made) = (before.id.to_string(), !options.dry_run);
        Ok(SwitchedInPlace::new(made, changed, id, reference))
    }

    pub(crate) fn changes_of_etc(
        &self,
        stateroot: Option<&StaterootName>,
    ) -> Result<(String, EtcChanges), ChangeError> {
        let found = self.deployment(stateroot)?;
        Ok((found.id.to_string(), self.roots.etc_changes(&found.id)?))
    }

    pub(crate) fn place_of_etc(
        &self,
        stateroot: Option<&StaterootName>,
    ) -> Result<EtcPlace, ChangeError> {
        let found = self.deployment(stateroot)?;
        Ok(EtcPlace {
            deployment: found.id.to_string(),
            path: composefs_root::Roots::etc_path(&found.id),
            base: self
                .physical
                .try_clone()
                .during("open", "the physical root")?,
        })
    }

    pub(crate) fn overlay(&self, unlock: UnlockFor) -> Result<String, ChangeError> {
        let (Some(root), Some(booted)) = (self.roots.running_root(), self.roots.booted()) else {
            return Err(UnlockError::NotBooted.into());
        };
        let read_only = match unlock {
            UnlockFor::Development => false,
            UnlockFor::Transient => true,
            UnlockFor::Hotfix => return Err(ChangeError::NotForImages("--hotfix")),
        };
        match overlay_usr(root, read_only)? {
            true => Ok(booted.digest.to_string()),
            false => Err(UnlockError::Already(Unlocked::Development).into()),
        }
    }

    /// The running deployment, else the first, in the one stateroot that there is.
    fn deployment(&self, stateroot: Option<&StaterootName>) -> Result<RootDeployment, ChangeError> {
        if let Some(other) = stateroot.filter(|name| name.to_string() != STATEROOT) {
            return Err(ChangeError::NoStateroot(other.clone()));
        }
        let before = self.before()?;
        before.ok_or(ChangeError::NotFound(Selector::Index(0)))
    }

    /// The deployment that is meant, and its index.
    pub(crate) fn find(&self, selector: &Selector) -> Result<(usize, RootDeployment), ChangeError> {
        let mut found = self.roots.deployments()?;
        let booted = found.iter().position(|one| one.booted);
        let place = match selector {
            Selector::Index(index) => Some(*index),
            Selector::Booted => booted,
            Selector::Pending => booted.filter(|booted| *booted > 0).map(|_| 0),
            Selector::Rollback => Some(booted.map_or(1, |booted| booted.saturating_add(1))),
            Selector::Digest(digest) => found.iter().position(|one| is_named(one, digest)),
        };
        let place = place.filter(|place| *place < found.len());
        let place = place.ok_or_else(|| ChangeError::NotFound(selector.clone()))?;
        Ok((place, found.swap_remove(place)))
    }
}

/// By the digest of its root or of its image's manifest, or how either begins.
fn is_named(deployment: &RootDeployment, digest: &str) -> bool {
    let plain = digest.trim_start_matches("sha256:");
    let manifest = deployment
        .origin
        .as_ref()
        .and_then(RootOrigin::manifest_digest);
    let of_image =
        manifest.is_some_and(|manifest| manifest.trim_start_matches("sha256:").starts_with(plain));
    plain.len() >= 7 && (of_image || deployment.id.to_string().starts_with(plain))
}
