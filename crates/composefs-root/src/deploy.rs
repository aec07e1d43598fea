//! Letting an image boot.

use boot_format::{BlsEntry, KernelArgs, os_release};
use composefs_format::Digest;
use durable::crash_point;

use crate::boot_files::BootFiles;
use crate::collect::Collected;
use crate::entry::{uki_path, without_root};
use crate::reset::FIRST;
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::uki::Uki;
use crate::{BootType, RootArgument, RootEntry, RootError, RootOrigin, Roots, StagedRoot};

/// What is to boot.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "all of it has to be said")]
pub struct RootRequest {
    /// The image, which is in the repository.
    pub id: Digest,
    /// The image that has `/boot` in it, where the image of the root has not: its unified kernel image is taken.
    pub with_boot: Option<Digest>,
    /// Where it comes from.
    pub origin: RootOrigin,
    /// Its kernel arguments, without the one that names the image; `None` takes those of the deployment before.
    pub kernel_args: Option<KernelArgs>,
    /// Whether all other deployments stay; else only the running one and the one that boots first so far.
    pub retain: bool,
    /// On the running system, whether it waits for a release.
    pub locked: bool,
}

/// What became of a request.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct DeployedRoot {
    /// The image.
    pub id: Digest,
    /// How it boots.
    pub boot_type: BootType,
    /// Whether it is completed when the system shuts down, or boots first from now on.
    pub staged: bool,
    /// What was removed.
    pub removed: Collected,
}

impl Roots {
    /// Let an image boot first: on the running system it is staged, and completed when that shuts down.
    ///
    /// What is local in `/etc` of the running deployment, or of the first one, is carried over. An image that is deployed
    /// already keeps its state until then.
    ///
    /// # Errors
    /// [`RootError`]. Which deployments boot has not changed, unless the clean-up afterwards is what failed; calling again
    /// completes it.
    pub fn deploy(&self, request: &RootRequest) -> Result<DeployedRoot, RootError> {
        let locked = self.lock()?;
        locked.clear_next_root()?;
        locked.give_up_stage()?;
        locked.collect()?;
        let image = self.open_image(&request.id)?;
        let menu = self.menu()?;
        let before = self.before(&menu, &request.id);
        let (entry, boot_type, checksum) = locked.install_boot(request, &image, &menu)?;
        let origin = request.origin.clone().booting(boot_type, &checksum);
        // What is staged gets what is local when it is completed, and so does what has a state already.
        let stage = self.is_running();
        let is_new = !self.has_state(&request.id);
        let is_first = menu.iter().find_map(|entry| entry.id) == Some(request.id);
        let local = before.filter(|_| !stage && is_new);
        let stateroot = before.map_or_else(|| FIRST.to_owned(), |before| self.stateroot(&before));
        locked.make_state(&request.id, &image, &origin, local.as_ref(), &stateroot)?;
        locked.write_menu(self.menu_with(entry, menu, request.retain))?;
        if stage {
            locked.stage(request)?;
        } else {
            // What is first already may have changed since.
            if let Some(other) = before.filter(|_| !is_new && !is_first) {
                locked.renew_etc(&request.id, &image, &other)?;
            }
            locked.switch_menu()?;
        }
        Ok(DeployedRoot {
            id: request.id,
            boot_type,
            staged: stage,
            removed: locked.collect()?,
        })
    }

    /// The deployment that stays behind the next one, which inherits its `/etc` and arguments: the running one, else the
    /// first other one.
    fn before(&self, menu: &[RootEntry], next: &Digest) -> Option<Digest> {
        let mut others = menu.iter().filter_map(|entry| entry.id);
        let other = others.find(|id| id != next);
        self.booted().map(|argument| argument.digest).or(other)
    }

    /// The menu with a new first entry. The one before it stays, and so does the running one.
    pub(crate) fn menu_with(
        &self,
        entry: RootEntry,
        menu: Vec<RootEntry>,
        retain: bool,
    ) -> Vec<RootEntry> {
        let new = entry.id;
        let before = new.and_then(|new| self.before(&menu, &new));
        let stays = |other: &RootEntry| match other.id {
            None => true,
            id if id == new => false,
            id => retain || id == before || id.is_some_and(|id| self.is_pinned(&id)),
        };
        let others = menu.into_iter().filter(stays);
        std::iter::once(entry).chain(others).collect()
    }

    fn arguments(
        &self,
        request: &RootRequest,
        menu: &[RootEntry],
    ) -> Result<KernelArgs, RootError> {
        let before = self.before(menu, &request.id).or(Some(request.id));
        let inherited = menu.iter().find(|entry| entry.id == before);
        // Those of a unified kernel image that is gone are not known.
        let inherited = inherited.filter(|entry| !entry.kernel_args().is_empty());
        let args = match (&request.kernel_args, inherited) {
            (Some(args), _) => args.clone(),
            (None, Some(entry)) => entry.kernel_args(),
            (None, None) => return Err(RootError::NoArguments),
        };
        Ok(naming(&args, &self.argument_for(&request.id).to_string()))
    }
}

/// The arguments with the one that names the image, in the place of those that there are.
pub(crate) fn naming(args: &KernelArgs, argument: &str) -> KernelArgs {
    let mut args = without_root(args);
    args.append(argument);
    args
}

/// What boots an image.
pub(crate) enum BootSource {
    Unified(Uki),
    Files(BootFiles),
}

impl BootSource {
    pub(crate) const fn is_unified(&self) -> bool {
        matches!(self, Self::Unified(_))
    }

    /// Bytes.
    pub(crate) fn size(&self) -> Result<u64, RootError> {
        match self {
            Self::Unified(uki) => Ok(uki.size()?),
            Self::Files(files) => Ok(files.size()),
        }
    }

    /// The version of the kernel.
    pub(crate) fn version(&self) -> Option<String> {
        match self {
            Self::Unified(_) => None,
            Self::Files(files) => files.version.clone(),
        }
    }
}

impl Roots {
    pub(crate) fn boot_source(
        &self,
        request: &RootRequest,
        image: &ImageRoot,
    ) -> Result<BootSource, RootError> {
        let unified = match &request.with_boot {
            Some(with_boot) => Uki::find(&self.open_image(with_boot)?, &request.id)?,
            None => Uki::find(image, &request.id)?,
        };
        match unified {
            Some(uki) => Ok(BootSource::Unified(uki)),
            None => Ok(BootSource::Files(BootFiles::find(image)?)),
        }
    }

    /// The digest in the name of what boots the same already.
    pub(crate) fn installed(
        &self,
        id: &Digest,
        source: &BootSource,
    ) -> Result<Option<Digest>, RootError> {
        match source {
            BootSource::Files(files) => self.same_files(&files.checksum),
            BootSource::Unified(_) => {
                let name = id.to_string();
                Ok(self.ukis()?.contains(&name).then_some(*id))
            }
        }
    }

    /// The entry of an image, whose kernel is in the directory with the digest `installed`.
    pub(crate) fn entry(
        &self,
        request: &RootRequest,
        image: &ImageRoot,
        menu: &[RootEntry],
        source: &BootSource,
        installed: &Digest,
    ) -> Result<RootEntry, RootError> {
        let id = &request.id;
        let mut bls = described(image, id)?;
        if let BootSource::Unified(uki) = source {
            bls.set("efi", &format!("/{}", uki_path(id)));
            let mut entry = RootEntry::new(*id, bls);
            entry.unified = Some(uki.arguments.clone());
            return Ok(entry);
        }
        let args = self.arguments(request, menu)?;
        let (linux, initrd) = self.entry_paths(installed);
        bls.set("options", &args.to_string());
        bls.set("linux", &linux);
        bls.set("initrd", &initrd);
        Ok(RootEntry::new(*id, bls))
    }
}

impl Locked<'_> {
    /// Install what boots the image: its entry, how it boots, and the SHA-256 of kernel and initramfs.
    pub(crate) fn install_boot(
        &self,
        request: &RootRequest,
        image: &ImageRoot,
        menu: &[RootEntry],
    ) -> Result<(RootEntry, BootType, String), RootError> {
        let id = &request.id;
        let source = self.roots.boot_source(request, image)?;
        // Nothing is copied for a request that is refused.
        let entry = self.roots.entry(request, image, menu, &source, id)?;
        match source {
            BootSource::Unified(uki) => {
                self.check_verifiable(id, &uki)?;
                let checksum = uki.checksum.clone();
                self.install_uki(id, uki)?;
                Ok((entry, BootType::Uki, checksum))
            }
            BootSource::Files(files) => {
                let installed = self.install(id, image, &files)?;
                let checksum = files.checksum.as_str().to_owned();
                let source = BootSource::Files(files);
                let entry = self
                    .roots
                    .entry(request, image, menu, &source, &installed)?;
                Ok((entry, BootType::Bls, checksum))
            }
        }
    }

    /// Nobody can tell a unified kernel image at boot that its root need not be verified.
    fn check_verifiable(&self, id: &Digest, uki: &Uki) -> Result<(), RootError> {
        let told = RootArgument::find(&uki.arguments, Some(id.algorithm()))?;
        let demanded = told.is_some_and(|told| !told.unverified);
        match demanded && self.roots.argument_for(id).unverified {
            true => Err(RootError::NotVerifiable(Box::new(*id))),
            false => Ok(()),
        }
    }

    fn stage(&self, request: &RootRequest) -> Result<(), RootError> {
        let Some(running) = &self.roots.running else {
            return Ok(());
        };
        durable::sync_filesystem(std::os::fd::AsFd::as_fd(&self.roots.physical))?;
        let staged = StagedRoot {
            id: request.id,
            locked: request.locked,
        };
        staged.write(std::os::fd::AsFd::as_fd(&running.run))?;
        crash_point("roots:staged");
        Ok(())
    }

    /// Forget what is staged: something else takes its place.
    pub(crate) fn give_up_stage(&self) -> Result<(), RootError> {
        if let Some(running) = &self.roots.running {
            StagedRoot::forget(std::os::fd::AsFd::as_fd(&running.run))?;
        }
        self.forget_menu()
    }
}

/// What the menu says of an image.
fn described(image: &ImageRoot, id: &Digest) -> Result<BlsEntry, RootError> {
    let text = image.text("usr/lib/os-release")?;
    let id = || id.to_string();
    let mut bls = BlsEntry::new();
    bls.set("title", &os_release::pretty_name(&text).unwrap_or_else(id));
    let version = os_release::get(&text, "VERSION_ID");
    bls.set("version", &version.unwrap_or_else(id));
    Ok(bls)
}
