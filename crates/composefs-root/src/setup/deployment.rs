//! The same of a deployment of OSTree: its image over the objects of the repository.
//!
//! Source of the layout: `ostree-prepare-root` of libostree 2026.4.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use composefs_format::Digest;
use durable::IoContext as _;
use rustix::fs::{AtFlags, Mode, OFlags};
use sysroot::{DeploymentId, RootConfig, Transient, note_boot};

use super::root::{Notice, SetupPlaces};
use super::volatile::tell_disk;
use crate::mount::{Layers, MountError, attach, bound, made, make_read_only, open_dir};

/// The image of a deployment.
const IMAGE: &str = ".ostree.cfs";

/// Where a transient `/etc` is written to, below `/run`.
const TRANSIENT_ETC: &str = "ostree/transient-etc";

/// Its presence below `/run` says that no unit mounts `/var`.
const MOUNT_VAR: &str = "ostree/initramfs-mount-var";

/// Which deployment is set up, and how.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "all of it has to be said")]
pub struct SetupDeployment<'a> {
    /// Where.
    pub places: SetupPlaces<'a>,
    /// Which deployment.
    pub deployment: &'a DeploymentId,
    /// How it is mounted.
    pub config: &'a RootConfig,
    /// By which digest the kernel has to verify its image, when somebody trusted has signed that.
    pub digest: Option<Digest>,
}

/// Mount the root of a deployment over `target`, complete with `/etc` and the physical root below `/sysroot`, and tell
/// the system that comes. `/var` and `/boot` are mounted by units of that system.
///
/// # Errors
/// [`MountError`]. What was mounted until then stays; the machine cannot go on anyway.
pub fn setup_deployment(setup: &SetupDeployment<'_>) -> Result<Vec<Notice>, MountError> {
    let (places, config) = (setup.places, setup.config);
    // Before anything covers it.
    let deployment = open_dir(places.physical, &setup.deployment.path())?;
    let var = format!("ostree/deploy/{}/var", setup.deployment.stateroot);
    let physical = bound(places.physical, "the physical root")?;
    let private = private_place(places.run)?;
    let layers = setup.layers(deployment.as_fd(), private.as_fd())?;

    let root = match config.root {
        Transient::No => layers.root("composefs")?,
        Transient::Writable | Transient::ReadOnly => layers.transient(".", "composefs")?,
    };
    attach(&root, places.target, "the root")?;
    if config.root == Transient::ReadOnly {
        make_read_only(root.as_fd(), "the root")?;
    }
    let etc = setup.mount_etc(&layers, &root, deployment.as_fd())?;
    attach(&physical, open_dir(&root, "sysroot")?, "the physical root")?;
    mount_var(places.run, &root, &var, config)?;
    if config.sysroot_readonly {
        make_read_only(physical.as_fd(), "the physical root")?;
    }
    let signed_by = setup.digest.map(|_| &*config.keypath);
    note_boot(places.run, deployment.as_fd(), config, etc, signed_by)?;
    Ok(Notice::of_disk(tell_disk(places.dev, places.run)))
}

impl SetupDeployment<'_> {
    /// The image of the deployment, which has the digest that was signed.
    fn layers<'s>(
        &self,
        deployment: BorrowedFd<'_>,
        scratch: BorrowedFd<'s>,
    ) -> Result<Layers<'s>, MountError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let image = rustix::fs::openat(deployment, IMAGE, flags, Mode::empty());
        let image = File::from(image.during("open the image of the deployment", IMAGE)?);
        if let Some(expected) = self.digest {
            check_digest(&image, expected)?;
        }
        let objects = open_dir(self.places.physical, "ostree/repo/objects")?;
        Layers::over(
            &image,
            objects,
            self.config.composefs.needs_verity(),
            scratch,
        )
    }

    /// Mounts `/etc`; where a transient one is written to.
    fn mount_etc(
        &self,
        layers: &Layers<'_>,
        root: &OwnedFd,
        deployment: BorrowedFd<'_>,
    ) -> Result<Option<&'static str>, MountError> {
        let over = open_dir(root, "etc")?;
        if !self.config.transient_etc {
            attach(bound(open_dir(deployment, "etc")?, "/etc")?, over, "/etc")?;
            return Ok(None);
        }
        let state = made(self.places.run, TRANSIENT_ETC, 0o700)?;
        let etc = layers.writable("usr/etc", state.as_fd(), "overlay")?;
        attach(etc, over, "/etc")?;
        Ok(Some("/run/ostree/transient-etc"))
    }
}

/// Keeps the `/var` of the stateroot writable; and mounts it, where no unit does.
fn mount_var(
    run: BorrowedFd<'_>,
    root: &OwnedFd,
    var: &str,
    config: &RootConfig,
) -> Result<(), MountError> {
    let place = format!("sysroot/{var}");
    if config.sysroot_readonly {
        let over = open_dir(root, &place)?;
        attach(bound(&over, "/var")?, over, "/var")?;
    }
    if rustix::fs::statat(run, MOUNT_VAR, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        let var = bound(open_dir(root, &place)?, "/var")?;
        attach(var, open_dir(root, "var")?, "/var")?;
    }
    Ok(())
}

/// Where nobody else looks.
fn private_place(run: BorrowedFd<'_>) -> Result<OwnedFd, durable::Error> {
    made(run, "ostree", 0o755)?;
    made(run, "ostree/.private", 0)
}

fn check_digest(image: &File, expected: Digest) -> Result<(), MountError> {
    let actual = durable::verity_digest(image).unwrap_or_default();
    let Some(actual) = actual.map(Digest::Sha256) else {
        return Err(MountError::NotSealed);
    };
    match actual == expected {
        true => Ok(()),
        false => Err(MountError::OtherImage {
            signed: Box::new(expected),
            actual: Box::new(actual),
        }),
    }
}
