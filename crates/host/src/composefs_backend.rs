//! Deployments whose roots are images of composefs.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use boot_format::KernelArgs;
use composefs::Store;
use composefs_format::{Algorithm, Digest};
use composefs_root::{MenuChange, RootDeployment, RootEntry, RootOrigin, RootRequest, Roots};
use oci::reference::OstreeImageReference;
use progress::{Interrupt, Progress};
use sysroot::{EtcChanges, StaterootName, UnlockFor};

use crate::backend::{Backend, Completed, EtcPlace, Job};
use crate::composefs_fetch::{Made, check, fetch};
use crate::composefs_pull::Documents;
use crate::image_args::{ARGS_DIRECTORY, arguments_in};
use crate::upgrade::keep_signature;
use crate::{
    Access, ArgsChange, BoundRoot, Change, ChangeError, ChangeOptions, Check, Cleaned,
    MountOverlay, Pinned, RemovedStateroot, ResetDone, ResetOptions, RunningFacts, Selector,
    Status, SwitchedInPlace, UpgradeOptions, UpgradePlan, Upgraded, composefs_prune,
    composefs_store, ensure_composefs_store, retag,
};

/// Deployments whose roots are images of composefs.
#[derive(Debug)]
pub struct BootedComposefs {
    pub(crate) roots: Roots,
    pub(crate) physical: OwnedFd,
}

/// What is deployed, and with which arguments.
pub(crate) struct Wanted<'a> {
    pub(crate) image: &'a OstreeImageReference,
    /// What is followed from then on.
    pub(crate) follows: &'a OstreeImageReference,
    /// Those that are given for a first deployment.
    arguments: Option<KernelArgs>,
}

impl<'a> Wanted<'a> {
    /// An image that is followed.
    const fn of(image: &'a OstreeImageReference) -> Self {
        Self {
            image,
            follows: image,
            arguments: None,
        }
    }
}

impl BootedComposefs {
    /// Those below a physical root.
    #[must_use]
    pub const fn new(roots: Roots, physical: OwnedFd) -> Self {
        Self { roots, physical }
    }

    /// Remove from the repository what neither a name nor a deployment needs; how many bytes. Whatever this follows is
    /// complete: that this fails is no reason to fail.
    fn collect(&self, store: &mut Store, progress: &dyn Progress) -> u64 {
        self.prune_bound(progress);
        let physical = self.physical.try_clone().map_err(|error| error.to_string());
        let collected = physical.and_then(|physical| {
            let collected = composefs_prune(store, physical, &[], false);
            collected.map_err(|error| error.to_string())
        });
        collected
            .map(|collected| collected.bytes)
            .unwrap_or_else(|error| {
                progress.note(&format!("what nothing needs could not be removed: {error}"));
                0
            })
    }

    /// Pull an image, and let it boot first with these kernel arguments, to which those of the image are added. It follows
    /// `follows` from then on.
    ///
    /// # Errors
    /// [`ChangeError`]; an image that was pulled by then stays.
    pub fn deploy(
        &self,
        image: &OstreeImageReference,
        follows: &OstreeImageReference,
        arguments: &[String],
        job: &Job<'_>,
    ) -> Result<Upgraded, ChangeError> {
        let arguments = (!arguments.is_empty()).then(|| KernelArgs::parse(&arguments.join(" ")));
        let wanted = Wanted {
            image,
            follows,
            arguments,
        };
        self.follow(&wanted, job)
    }

    fn follow(&self, wanted: &Wanted<'_>, job: &Job<'_>) -> Result<Upgraded, ChangeError> {
        let (image, options) = (wanted.follows, job.options);
        let mut store = ensure_composefs_store(self.physical.as_fd(), Algorithm::Sha512)?;
        if options.dry_run {
            return self.plan_following(&store, wanted, job);
        }
        let planned = RefCell::new(None);
        let agree = |documents: &Documents| {
            planned.replace(self.require_space(&store, documents, job)?);
            Ok(())
        };
        let made = fetch(&store, wanted.image, image, job, agree)?;
        let id = made.root;
        self.fetch_bound(&id, job)?;
        if !options.download_only || self.is_running() {
            // Where that cannot be, entries say so.
            store.seal_image(&id, job.progress, job.interrupt)?;
        }
        let mut upgraded = Upgraded::nothing(image);
        upgraded.root = Some(made.fetched.clone());
        if options.download_only && !self.is_running() {
            return Ok(upgraded);
        }
        if let Some(held) = self.is_next(&id, image)? {
            if self.roots.may_demand_verity(&id)? {
                let demand = MenuChange::Arguments(self.first_arguments()?);
                upgraded.change = Some(self.change(&demand, &ChangeOptions::default())?);
            }
            upgraded.staged = self.roots.staged()?.is_some();
            upgraded.held = held && options.download_only;
            upgraded.deployed = held && !options.download_only;
            if upgraded.deployed {
                self.roots.lock_finalization(false)?;
            }
            return Ok(upgraded);
        }
        let request = self.request(wanted, &made, options)?;
        let plan = self.roots.plan_deploy(&request)?;
        let exact = self.plan_of(&store, &made, &plan)?;
        self.check_bound(&id)?;
        let deployed = self.roots.deploy(&request)?;
        upgraded.deployed = true;
        upgraded.staged = deployed.staged;
        upgraded.held = deployed.staged && options.download_only;
        upgraded.change = Some(Change::of_new_root(&plan, true));
        // What was known before tells what was fetched.
        upgraded.plan = Some(match planned.into_inner() {
            Some(before) => UpgradePlan {
                space: before.space,
                bytes_to_fetch: before.bytes_to_fetch,
                layers: before.layers,
                ..exact
            },
            None => exact,
        });
        upgraded.collected_bytes = self.collect(&mut store, job.progress);
        if upgraded.staged && !upgraded.held {
            self.require_reboot(&upgraded)?;
        }
        Ok(upgraded)
    }

    /// Whether an image boots next already, and is followed; if so, whether it waits for a release.
    pub(crate) fn is_next(
        &self,
        id: &Digest,
        image: &OstreeImageReference,
    ) -> Result<Option<bool>, ChangeError> {
        if let Some(staged) = self.roots.staged()? {
            return Ok((staged.id == *id).then_some(staged.locked));
        }
        let menu = self.roots.menu()?;
        let first = menu.iter().find_map(RootEntry::id);
        let follows = self.roots.origin(id).ok().flatten();
        let follows = follows.and_then(|origin| origin.image());
        let is_next = first == Some(id) && follows.as_deref() == Some(&*image.to_string());
        Ok(is_next.then_some(false))
    }

    pub(crate) fn request(
        &self,
        wanted: &Wanted<'_>,
        made: &Made,
        options: &UpgradeOptions,
    ) -> Result<RootRequest, ChangeError> {
        let digest = Some(made.fetched.digest.as_str());
        Ok(RootRequest {
            id: made.root,
            with_boot: Some(made.with_boot),
            origin: RootOrigin::of_image(&wanted.follows.to_string(), digest),
            kernel_args: self.arguments(wanted, &made.root, &options.architecture)?,
            retain: options.retain,
            locked: options.download_only,
        })
    }

    /// Those that were given and those of the image; or those of the deployment before, with what the image changes.
    fn arguments(
        &self,
        wanted: &Wanted<'_>,
        id: &Digest,
        architecture: &str,
    ) -> Result<Option<KernelArgs>, ChangeError> {
        let of = |id| self.image_arguments(id, architecture);
        let new = of(id)?;
        let before = self.before()?;
        if let Some(given) = &wanted.arguments {
            let mut args = given.clone();
            new.iter().for_each(|arg| append_missing(&mut args, arg));
            return Ok(Some(args));
        }
        let Some(before) = before else {
            return Ok(None);
        };
        let there = before.entry.as_ref().map(RootEntry::kernel_args);
        let mut there = there.unwrap_or_default();
        // What cannot be read any more has added nothing that could be told.
        let old = of(&before.id).unwrap_or_default();
        let (append, delete) = crate::argument_changes(&old, &new);
        for arg in &delete {
            there.delete_if_present(arg)?;
        }
        append
            .iter()
            .for_each(|arg| append_missing(&mut there, arg));
        Ok(Some(there))
    }

    /// Those that an image brings along.
    pub(crate) fn image_arguments(
        &self,
        id: &Digest,
        architecture: &str,
    ) -> Result<Vec<String>, ChangeError> {
        let files = self.roots.texts(id, Path::new(ARGS_DIRECTORY))?;
        Ok(arguments_in(files, architecture)?)
    }

    /// The running deployment, else the first.
    pub(crate) fn before(&self) -> Result<Option<RootDeployment>, ChangeError> {
        let mut found = self.roots.deployments()?;
        found.retain(|one| !one.staged);
        let booted = found.iter().position(|one| one.booted).unwrap_or(0);
        Ok((booted < found.len()).then(|| found.swap_remove(booted)))
    }

    /// The image that is followed; with the tag that was asked for.
    fn followed(&self, options: &UpgradeOptions) -> Result<OstreeImageReference, ChangeError> {
        let before = self.before()?;
        let before = before.ok_or(ChangeError::NotFound(Selector::Index(0)))?;
        let image = self.image_of(&before)?;
        match &options.tag {
            None => Ok(image),
            Some(tag) => Ok(OstreeImageReference {
                imgref: retag(&image.imgref, tag)?,
                ..image
            }),
        }
    }

    /// The image that a deployment follows.
    pub(crate) fn image_of(
        &self,
        deployment: &RootDeployment,
    ) -> Result<OstreeImageReference, ChangeError> {
        let reference = deployment.origin.as_ref().and_then(RootOrigin::image);
        let reference = reference.ok_or_else(|| ChangeError::NoImage(deployment.id.to_string()))?;
        let parsed = OstreeImageReference::from_user(&reference);
        parsed.map_err(|error| ChangeError::Reference {
            cause: error.to_string(),
            reference,
        })
    }

    fn require_reboot(&self, upgraded: &Upgraded) -> Result<(), ChangeError> {
        if let (Some(run), Some(root)) = (self.roots.run(), &upgraded.root) {
            crate::reboot_required::require(run, &root.digest)?;
        }
        Ok(())
    }
}

/// Adds an argument that is not there with that value.
fn append_missing(args: &mut KernelArgs, arg: &str) {
    if !args.iter().any(|other| other.to_string() == *arg) {
        args.append(arg);
    }
}

impl Backend for BootedComposefs {
    fn is_running(&self) -> bool {
        self.roots.is_running()
    }

    fn status(&self, facts: RunningFacts) -> Result<Status, ChangeError> {
        let store = composefs_store(self.physical.as_fd()).ok().flatten();
        crate::root_status::status(&self.roots, store.as_ref(), facts)
    }

    fn check_upgrade(&self, job: &Job<'_>) -> Result<Check, ChangeError> {
        let image = self.followed(job.options)?;
        let store = composefs_store(self.physical.as_fd())?;
        let next = self.roots.deployments()?.into_iter().next();
        let next = next.and_then(|next| next.origin?.manifest_digest());
        check(store.as_ref(), &image, next.as_deref(), job)
    }

    fn upgrade(&self, job: &Job<'_>) -> Result<Upgraded, ChangeError> {
        self.follow(&Wanted::of(&self.followed(job.options)?), job)
    }

    fn switch(&self, image: &OstreeImageReference, job: &Job<'_>) -> Result<Upgraded, ChangeError> {
        let mut image = image.clone();
        let current = self.followed(&UpgradeOptions {
            tag: None,
            ..job.options.clone()
        });
        keep_signature(
            &mut image,
            current.ok().as_ref(),
            job.options.drop_signature,
        );
        self.follow(&Wanted::of(&image), job)
    }

    fn rollback(
        &self,
        wanted: Option<&Selector>,
        options: &ChangeOptions,
        _: &dyn Progress,
    ) -> Result<Change, ChangeError> {
        let wanted = wanted.map(|selector| match self.find(selector)? {
            (_, found) if found.staged => Err(ChangeError::Staged(selector.clone())),
            (_, found) => Ok(found.id),
        });
        self.change(&MenuChange::First(wanted.transpose()?), options)
    }

    fn undeploy(
        &self,
        which: &Selector,
        options: &ChangeOptions,
        _: &dyn Progress,
    ) -> Result<Change, ChangeError> {
        self.undeploy_root(which, options)
    }

    fn undeploy_all(
        &self,
        options: &ChangeOptions,
        _: &dyn Progress,
    ) -> Result<Change, ChangeError> {
        self.change(&MenuChange::RemoveAll, options)
    }

    fn kernel_arguments(&self) -> Result<Vec<String>, ChangeError> {
        Ok(self.first_arguments()?.to_strings())
    }

    fn change_kernel_arguments(
        &self,
        change: &ArgsChange,
        options: &ChangeOptions,
        _: &dyn Progress,
        _: &Interrupt,
    ) -> Result<Change, ChangeError> {
        self.change_arguments(change, options)
    }

    fn pin(
        &self,
        which: &Selector,
        pinned: bool,
        options: &ChangeOptions,
    ) -> Result<Pinned, ChangeError> {
        self.pin_root(which, pinned, options)
    }

    fn cleanup(
        &self,
        options: &ChangeOptions,
        progress: &dyn Progress,
        _: &Interrupt,
    ) -> Result<Cleaned, ChangeError> {
        self.clean_up_roots(options, progress)
    }

    fn switch_in_place(
        &self,
        image: &OstreeImageReference,
        drop_signature: bool,
        options: &ChangeOptions,
    ) -> Result<SwitchedInPlace, ChangeError> {
        self.follow_in_place(image, drop_signature, options)
    }

    fn reset(
        &self,
        access: &Access,
        options: &ResetOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<ResetDone, ChangeError> {
        self.reset_root(access, options, progress, interrupt)
    }

    fn remove_stateroot(
        &self,
        stateroot: &StaterootName,
        with_deployments: bool,
        options: &ChangeOptions,
        _: &dyn Progress,
        _: &Interrupt,
    ) -> Result<RemovedStateroot, ChangeError> {
        self.remove_root_stateroot(stateroot, with_deployments, options)
    }

    fn bound_roots(&self) -> Result<Vec<BoundRoot>, ChangeError> {
        self.all_bound()
    }

    fn strict_images(&self) -> Result<BTreeSet<Digest>, ChangeError> {
        Ok(self.roots.strict_images()?)
    }

    fn etc_changes(
        &self,
        stateroot: Option<&StaterootName>,
    ) -> Result<(String, EtcChanges), ChangeError> {
        self.changes_of_etc(stateroot)
    }

    fn etc_place(&self, stateroot: Option<&StaterootName>) -> Result<EtcPlace, ChangeError> {
        self.place_of_etc(stateroot)
    }

    fn unlock_usr(
        &self,
        unlock: UnlockFor,
        _: &MountOverlay<'_>,
        _: &dyn Progress,
        _: &Interrupt,
    ) -> Result<String, ChangeError> {
        self.overlay(unlock)
    }

    fn prepare_soft_reboot(
        &self,
        which: &Selector,
        _: &KernelArgs,
        _: &dyn Progress,
        _: &Interrupt,
    ) -> Result<String, ChangeError> {
        self.prepare_soft_reboot_of(which)
    }

    fn clear_soft_reboot(&self) -> Result<bool, ChangeError> {
        Ok(self.roots.clear_soft_reboot()?)
    }

    fn finalize(&self) -> Result<Completed, ChangeError> {
        Ok(self.finalize_root()?.into())
    }
}
