//! Deployments whose roots are images of composefs.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use boot_format::KernelArgs;
use composefs::Store;
use composefs_format::{Algorithm, Digest};
use composefs_root::{RootDeployment, RootEntry, RootOrigin, RootRequest, Roots};
use oci::reference::OstreeImageReference;
use progress::Progress;

use crate::backend::{Backend, Completed, Job};
use crate::composefs_fetch::{Made, check, fetch};
use crate::image_args::{ARGS_DIRECTORY, arguments_in};
use crate::upgrade::keep_signature;
use crate::{
    BootedEntry, Change, ChangeError, ChangeOptions, Check, RunningFacts, Selector, Status,
    UpgradeOptions, Upgraded, composefs_prune, composefs_store, ensure_composefs_store, retag,
};

/// Deployments whose roots are images of composefs.
#[derive(Debug)]
pub struct BootedComposefs {
    roots: Roots,
    physical: OwnedFd,
}

/// What is deployed, and with which arguments.
struct Wanted<'a> {
    image: &'a OstreeImageReference,
    /// What is followed from then on.
    follows: &'a OstreeImageReference,
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
        if options.dry_run {
            return Err(ChangeError::NotForImages("--dry-run"));
        }
        let mut store = ensure_composefs_store(self.physical.as_fd(), Algorithm::Sha512)?;
        let made = fetch(&store, wanted.image, image, job)?;
        let id = made.root;
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
            upgraded.staged = self.roots.staged()?.is_some();
            upgraded.held = held && options.download_only;
            upgraded.deployed = held && !options.download_only;
            if upgraded.deployed {
                self.roots.lock_finalization(false)?;
            }
            return Ok(upgraded);
        }
        let request = self.request(wanted, &made, options)?;
        let deployed = self.roots.deploy(&request)?;
        upgraded.deployed = true;
        upgraded.staged = deployed.staged;
        upgraded.held = deployed.staged && options.download_only;
        upgraded.change = Some(self.change(true, deployed.removed.states)?);
        upgraded.collected_bytes = self.collect(&mut store, job.progress);
        if upgraded.staged && !upgraded.held {
            self.require_reboot(&upgraded)?;
        }
        Ok(upgraded)
    }

    /// Whether an image boots next already, and is followed; if so, whether it waits for a release.
    fn is_next(
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

    fn request(
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
        let of = |id| -> Result<Vec<String>, ChangeError> {
            let files = self.roots.texts(id, Path::new(ARGS_DIRECTORY))?;
            Ok(arguments_in(files, architecture)?)
        };
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

    /// The running deployment, else the first.
    fn before(&self) -> Result<Option<RootDeployment>, ChangeError> {
        let mut found = self.roots.deployments()?;
        found.retain(|one| !one.staged);
        let booted = found.iter().position(|one| one.booted).unwrap_or(0);
        Ok((booted < found.len()).then(|| found.swap_remove(booted)))
    }

    /// The image that is followed; with the tag that was asked for.
    fn followed(&self, options: &UpgradeOptions) -> Result<OstreeImageReference, ChangeError> {
        let before = self.before()?;
        let before = before.ok_or(ChangeError::NotFound(Selector::Index(0)))?;
        let reference = before.origin.as_ref().and_then(RootOrigin::image);
        let reference = reference.ok_or_else(|| ChangeError::NoImage(before.id.to_string()))?;
        let parsed = OstreeImageReference::from_user(&reference);
        let image = parsed.map_err(|error| ChangeError::Reference {
            cause: error.to_string(),
            reference,
        })?;
        match &options.tag {
            None => Ok(image),
            Some(tag) => Ok(OstreeImageReference {
                imgref: retag(&image.imgref, tag)?,
                ..image
            }),
        }
    }

    fn change(&self, made: bool, removed: Vec<String>) -> Result<Change, ChangeError> {
        let menu = self.roots.menu()?;
        let boots = menu.iter().filter_map(|entry| {
            Some(BootedEntry {
                deployment: entry.id()?.to_string(),
                title: entry.title().unwrap_or_default().to_owned(),
                kernel_arguments: entry.kernel_args().to_strings(),
            })
        });
        Ok(Change::of_roots(made, boots.collect(), removed))
    }

    fn require_reboot(&self, upgraded: &Upgraded) -> Result<(), ChangeError> {
        if let (Some(run), Some(root)) = (self.roots.run(), &upgraded.root) {
            crate::reboot_required::require(run, &root.digest)?;
        }
        Ok(())
    }

    /// The deployment that is meant.
    fn find(&self, selector: &Selector) -> Result<Digest, ChangeError> {
        let found = self.roots.deployments()?;
        let place = match selector {
            Selector::Index(index) => (*index < found.len()).then_some(*index),
            Selector::Booted => found.iter().position(|one| one.booted),
            Selector::Pending => found.iter().position(|one| one.staged),
            Selector::Rollback => found.iter().position(|one| !one.booted && !one.staged),
            Selector::Digest(digest) => found.iter().position(|one| is_named(one, digest)),
        };
        let found = place.and_then(|place| found.get(place));
        let found = found.ok_or_else(|| ChangeError::NotFound(selector.clone()))?;
        match found.staged {
            true => Err(ChangeError::Staged(selector.clone())),
            false => Ok(found.id),
        }
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
        if options.dry_run {
            return Err(ChangeError::NotForImages("--dry-run"));
        }
        let wanted = wanted.map(|selector| self.find(selector)).transpose()?;
        let staged = self.roots.staged()?.map(|staged| staged.id.to_string());
        self.roots.roll_back(wanted.as_ref())?;
        if let Some(run) = self.roots.run().filter(|_| staged.is_some()) {
            crate::reboot_required::take_back(run)?;
        }
        let mut change = self.change(true, Vec::new())?;
        change.discarded_stage = staged;
        Ok(change)
    }

    fn finalize(&self) -> Result<Completed, ChangeError> {
        Ok(self.roots.finalize()?.into())
    }
}
