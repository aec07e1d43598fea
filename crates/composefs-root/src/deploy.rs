//! Letting an image boot.

use boot_format::{BlsEntry, KernelArgs, os_release};
use composefs_format::Digest;
use durable::crash_point;

use crate::boot_files::BootFiles;
use crate::collect::Collected;
use crate::entry::uki_path;
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::uki::Uki;
use crate::{BootType, RootEntry, RootError, RootOrigin, Roots, StagedRoot};

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
        locked.make_state(&request.id, &image, &origin, local.as_ref())?;
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
    fn menu_with(&self, entry: RootEntry, menu: Vec<RootEntry>, retain: bool) -> Vec<RootEntry> {
        let new = entry.id;
        let before = new.and_then(|new| self.before(&menu, &new));
        let stays = |other: &RootEntry| match other.id {
            None => true,
            id if id == new => false,
            id => retain || id == before,
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
        // Those of a unified kernel image are in it.
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
fn naming(args: &KernelArgs, argument: &str) -> KernelArgs {
    let others = args
        .iter()
        .filter(|arg| arg.key != "composefs" && arg.key != "composefs.digest");
    let others: Vec<String> = others.map(ToString::to_string).collect();
    let mut args = KernelArgs::parse(&others.join(" "));
    args.append(argument);
    args
}

impl Locked<'_> {
    /// Install what boots the image: its entry, how it boots, and the SHA-256 of kernel and initramfs.
    fn install_boot(
        &self,
        request: &RootRequest,
        image: &ImageRoot,
        menu: &[RootEntry],
    ) -> Result<(RootEntry, BootType, String), RootError> {
        let id = &request.id;
        let mut bls = described(image, id)?;
        if let Some(uki) = self.find_uki(request, image)? {
            let checksum = uki.checksum.clone();
            self.install_uki(id, uki)?;
            bls.set("efi", &format!("/{}", uki_path(id)));
            return Ok((RootEntry::new(*id, bls), BootType::Uki, checksum));
        }
        let args = self.roots.arguments(request, menu)?;
        let files = BootFiles::find(image)?;
        let installed = self.install(id, image, &files)?;
        let (linux, initrd) = self.roots.entry_paths(&installed);
        bls.set("options", &args.to_string());
        bls.set("linux", &linux);
        bls.set("initrd", &initrd);
        let checksum = files.checksum.as_str().to_owned();
        Ok((RootEntry::new(*id, bls), BootType::Bls, checksum))
    }

    fn find_uki(&self, request: &RootRequest, image: &ImageRoot) -> Result<Option<Uki>, RootError> {
        match &request.with_boot {
            Some(with_boot) => Uki::find(&self.roots.open_image(with_boot)?, &request.id),
            None => Uki::find(image, &request.id),
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
