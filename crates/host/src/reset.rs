//! Back to how the system came: a new stateroot with nothing of what was changed in the old one.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use boot_format::KernelArgs;
use oci::reference::OstreeImageReference;
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use serde::Serialize;
use sysroot::{
    ArgsBase, DeployRequest, Deployment, DeploymentId, KernelArgsEdit, Locked, MergeFrom, Origin,
    StaterootName, Sysroot,
};

use crate::change::describe;
use crate::fstab::boot_line;
use crate::image_args::image_arguments;
use crate::text::text;
use crate::upgrade::image_of;
use crate::{Access, Change, ChangeError, PullOptions, pull};

/// The form of an answer.
pub(crate) const SCHEMA: &str = "bootroot.reset/1";

/// Largest `/etc/fstab` that is read.
const MAX_FSTAB: u64 = 1024 * 1024;

/// Choices of a reset.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ResetOptions {
    /// The new stateroot; a name that is free when `None`.
    pub stateroot: Option<StaterootName>,
    /// The image; what runs when `None`.
    pub image: Option<OstreeImageReference>,
    /// Kernel arguments beside those of the image.
    pub kernel_arguments: Vec<String>,
    /// Leave out the arguments by which the root file system is found.
    pub no_root_arguments: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// The processor, as the kernel calls it.
    pub architecture: String,
    /// How long to wait for others that work on the system.
    pub lock_timeout: Duration,
    /// The current time in seconds since 1970.
    pub now: u64,
}

impl ResetOptions {
    /// Everything as usual, on a processor of this kind.
    #[must_use]
    pub fn new(architecture: &str) -> Self {
        Self {
            stateroot: None,
            image: None,
            kernel_arguments: Vec::new(),
            no_root_arguments: false,
            dry_run: false,
            architecture: architecture.to_owned(),
            lock_timeout: Duration::from_secs(60),
            now: 0,
        }
    }
}

/// What a reset has done, or would do (`docs/reset.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct ResetDone {
    pub(crate) schema: &'static str,
    /// Whether it was done, or only planned.
    pub made: bool,
    /// The new stateroot.
    pub stateroot: String,
    /// The image that is followed there.
    pub image: String,
    /// The commit that is deployed there; unknown when the image would have to be fetched.
    #[serde(serialize_with = "crate::text::text_or_null")]
    pub commit: Option<Checksum>,
    /// The root of composefs that is deployed there, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The stateroot that was left behind, with all that is in it.
    #[serde(serialize_with = "text")]
    pub left: StaterootName,
    /// Its kernel arguments; unknown when the image would have to be fetched.
    pub kernel_arguments: Option<Vec<String>>,
    /// What boots afterwards; nothing when it was only planned.
    pub change: Option<Change>,
}

/// Deploy the image into a new stateroot, with nothing merged: neither `/etc` nor `/var` of the old one, which stays
/// until it is undeployed. Only the line of `/etc/fstab` for `/boot` is carried over.
///
/// # Errors
/// [`ChangeError`]; what boots has not changed.
pub fn reset(
    sysroot: &Sysroot,
    access: &Access,
    options: &ResetOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<ResetDone, ChangeError> {
    let state = sysroot.load()?;
    let first = state.booted().or(state.deployments.first());
    let first = first.ok_or(ChangeError::NotFound(crate::Selector::Index(0)))?;
    let followed = image_of(first)?;
    let image = options.image.as_ref().or(followed.as_ref());
    let image = image.ok_or_else(|| ChangeError::NoImage(first.id.to_string()))?;
    let stateroot = new_stateroot(sysroot, &first.id.stateroot, options)?;
    let commit = commit(sysroot, first, image, access, options, progress, interrupt)?;
    let arguments = commit
        .map(|commit| arguments(sysroot, first, &commit, options))
        .transpose()?;
    let mut done = ResetDone {
        schema: SCHEMA,
        root: None,
        made: !options.dry_run,
        stateroot: stateroot.to_string(),
        image: image.to_string(),
        commit,
        left: first.id.stateroot.clone(),
        kernel_arguments: arguments.as_ref().map(KernelArgs::to_strings),
        change: None,
    };
    if let Some((commit, arguments)) = commit.zip(arguments).filter(|_| !options.dry_run) {
        let locked = sysroot.lock(options.lock_timeout)?;
        let mut request = DeployRequest::new(stateroot, commit);
        request.origin = Some(Origin::from_image(&image.to_string()));
        request.merge = MergeFrom::Nothing;
        request.kernel_args = KernelArgsEdit {
            base: ArgsBase::Args(arguments),
            ..KernelArgsEdit::default()
        };
        done.change = Some(deploy(&locked, first, &request, progress, interrupt)?);
    }
    Ok(done)
}

fn deploy(
    locked: &Locked<'_>,
    old: &Deployment,
    request: &DeployRequest,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Change, ChangeError> {
    locked.init_stateroot(&request.stateroot)?;
    let plan = locked.plan_deploy(&locked.load()?, request)?;
    let policy = ::image::policy_of_commit(locked.repo(), &request.commit)?;
    locked.apply_deploy(&plan, policy.as_ref(), progress, interrupt)?;
    carry_boot_line(locked, &old.id, &plan.deployment)?;
    Ok(describe(&plan.boot, &plan.dropped, true))
}

/// The name that was given, or the old one with the first number that is free.
fn new_stateroot(
    sysroot: &Sysroot,
    old: &StaterootName,
    options: &ResetOptions,
) -> Result<StaterootName, ChangeError> {
    match &options.stateroot {
        Some(stateroot) => Ok(stateroot.clone()),
        None => Ok(free_name(old, &sysroot.stateroots()?)),
    }
}

/// A name with the first number that is free.
pub(crate) fn free_name(old: &StaterootName, there: &[StaterootName]) -> StaterootName {
    let names = (1_u32..).filter_map(|number| format!("{old}-{number}").parse().ok());
    let free = names.into_iter().find(|name| !there.contains(name));
    free.unwrap_or_else(|| old.clone())
}

/// The commit of the image, which is pulled unless it is what runs; none when that is only planned.
fn commit(
    sysroot: &Sysroot,
    first: &Deployment,
    image: &OstreeImageReference,
    access: &Access,
    options: &ResetOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Option<Checksum>, ChangeError> {
    if options.image.is_none() {
        return Ok(Some(first.id.commit));
    }
    if options.dry_run {
        let stored = ::image::query_image(sysroot.repo(), &image.imgref).map_err(Box::new)?;
        return Ok(stored.map(|state| state.merge_commit));
    }
    let choices = PullOptions {
        require_bootable: true,
        now: options.now,
        ..PullOptions::default()
    };
    let repo = sysroot.repo();
    let pulled = pull(repo, image, access, &choices, progress, interrupt)?;
    Ok(Some(pulled.commit))
}

/// Those by which the root file system is found, those of the image, and those that were given.
fn arguments(
    sysroot: &Sysroot,
    first: &Deployment,
    commit: &Checksum,
    options: &ResetOptions,
) -> Result<KernelArgs, ChangeError> {
    let of_image = image_arguments(sysroot.repo(), commit, &options.architecture)?;
    let there = first.kernel_args().without_ostree();
    Ok(fresh_arguments(&there, &of_image, options))
}

/// The same, from those that there are and those of the image.
pub(crate) fn fresh_arguments(
    there: &KernelArgs,
    of_image: &[String],
    options: &ResetOptions,
) -> KernelArgs {
    let mut arguments = KernelArgs::new();
    if !options.no_root_arguments {
        let there = there.to_strings();
        let of_root = there.iter().filter(|arg| finds_root(arg));
        of_root.for_each(|arg| arguments.append(arg));
    }
    of_image
        .iter()
        .for_each(|arg| arguments.append_if_missing(arg));
    options
        .kernel_arguments
        .iter()
        .for_each(|arg| arguments.append(arg));
    arguments
}

/// Whether an argument is about the root file system, or for the initramfs, which mounts it.
fn finds_root(argument: &str) -> bool {
    let key = argument.split_once('=').map_or(argument, |(key, _)| key);
    matches!(key, "root" | "rootflags" | "rootfstype" | "rw" | "ro") || key.starts_with("rd.")
}

fn carry_boot_line(
    locked: &Locked<'_>,
    old: &DeploymentId,
    new: &DeploymentId,
) -> Result<(), ChangeError> {
    let before = fstab(locked.dir(), &format!("{}/etc", old.path()))?;
    carry_line(&before, locked.dir(), &format!("{}/etc", new.path()))
}

/// `/etc/fstab` of the `/etc` at `etc`.
pub(crate) fn fstab(base: BorrowedFd<'_>, etc: &str) -> Result<String, ChangeError> {
    let path = format!("{etc}/fstab");
    let text = durable::read_optional(base, Path::new(&path), MAX_FSTAB)?;
    Ok(String::from_utf8_lossy(&text.unwrap_or_default()).into_owned())
}

/// Adds the line for `/boot` of the fstab `before` to that of the `/etc` at `etc`, unless there is one.
pub(crate) fn carry_line(before: &str, base: BorrowedFd<'_>, etc: &str) -> Result<(), ChangeError> {
    let there = fstab(base, etc)?;
    let Some(line) = boot_line(before).filter(|_| boot_line(&there).is_none()) else {
        return Ok(());
    };
    let (path, text) = (format!("{etc}/fstab"), format!("{there}{line}\n"));
    durable::publish(base, Path::new(&path), text.as_bytes(), 0o644)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_the_root_are_known() {
        for (argument, expected) in [
            ("root=UUID=1", true),
            ("rw", true),
            ("rd.luks.uuid=x", true),
            ("quiet", false),
            ("rootwait", false),
            ("console=ttyS0", false),
        ] {
            assert_eq!(finds_root(argument), expected, "{argument}");
        }
    }
}
