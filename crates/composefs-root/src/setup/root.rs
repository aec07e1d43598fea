//! The whole of it: the image, what is kept of `/etc` and `/var`, and the physical root below `/sysroot`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use composefs_format::Digest;
use error_class::Classified as _;

use super::SetupConfig;
use super::submount::mount_over;
use super::volatile::tell_disk;
use crate::RootArgument;
use crate::layout::STATE;
use crate::mount::{Layers, MountError, attach, bound, make_read_only, open_dir};

/// Where a root is set up.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "all of it has to be said")]
pub struct SetupPlaces<'a> {
    /// The physical root, as it is mounted in the initramfs.
    pub physical: BorrowedFd<'a>,
    /// The directory over which the root is mounted; usually that one.
    pub target: BorrowedFd<'a>,
    /// `/run`.
    pub run: BorrowedFd<'a>,
    /// `/dev`.
    pub dev: BorrowedFd<'a>,
}

/// What is set up, and from what.
#[derive(Debug)]
pub struct SetupRoot<'a> {
    /// Where.
    pub places: SetupPlaces<'a>,
    /// Which image.
    pub argument: &'a RootArgument,
    /// What is kept.
    pub config: &'a SetupConfig,
}

/// Something that was left out, without which the system boots all the same.
#[derive(Debug, thiserror::Error)]
#[error("{what}, so {consequence}: {source}")]
pub struct Notice {
    what: &'static str,
    consequence: &'static str,
    source: MountError,
}

/// Mount the root that the kernel was told over `target`, complete with `/etc`, `/var` and, read-only, the physical
/// root below `/sysroot`.
///
/// # Errors
/// [`MountError`]. What was mounted until then stays; the machine cannot go on anyway.
pub fn setup_root(setup: &SetupRoot<'_>) -> Result<Vec<Notice>, MountError> {
    let places = setup.places;
    let left_out = assemble(&Assembly {
        physical: places.physical,
        target: places.target,
        scratch: places.run,
        argument: setup.argument,
        config: setup.config,
    })?;
    let mut notices: Vec<_> = left_out.into_iter().collect();
    notices.extend(Notice::of_disk(tell_disk(places.dev, places.run)));
    Ok(notices)
}

/// The mounts of a root, in an initramfs or where a soft reboot changes to them.
pub(crate) struct Assembly<'a> {
    /// The physical root.
    pub(crate) physical: BorrowedFd<'a>,
    /// The directory over which the root is mounted.
    pub(crate) target: BorrowedFd<'a>,
    /// Where the image is mounted meanwhile, on kernels that want that.
    pub(crate) scratch: BorrowedFd<'a>,
    /// Which image.
    pub(crate) argument: &'a RootArgument,
    /// What is kept.
    pub(crate) config: &'a SetupConfig,
}

/// Mount them; what was left out.
pub(crate) fn assemble(assembly: &Assembly<'_>) -> Result<Option<Notice>, MountError> {
    let (argument, config) = (assembly.argument, assembly.config);
    let digest = &argument.digest;
    let layers = Layers::open(assembly.physical, assembly.scratch, argument)?;
    // Before anything covers it.
    let state = open_state(assembly.physical, digest)?;
    let physical = bound(assembly.physical, "the physical root")?;

    // By these names of the source the running system tells which image is its root.
    let root = match config.root_is_transient() {
        true => layers.transient(".", &format!("transient:composefs={digest}"))?,
        false => layers.root(&format!("composefs:{digest}"))?,
    };
    attach(&root, assembly.target, "the root")?;
    let state = state.as_fd();
    mount_over(&layers, root.as_fd(), state, "etc", config.etc())?;
    mount_over(&layers, root.as_fd(), state, "var", config.var())?;
    Ok(below_sysroot(&root, &physical).err().map(|source| Notice {
        what: "the physical root is not at /sysroot",
        consequence: "this system cannot be changed",
        source,
    }))
}

impl Notice {
    /// Of telling systemd the disk.
    pub(super) fn of_disk(told: Result<(), durable::Error>) -> Vec<Self> {
        let notice = |source: durable::Error| Self {
            what: "systemd was not told the disk of the root",
            consequence: "it does not find partitions by itself",
            source: source.into(),
        };
        told.err().map(notice).into_iter().collect()
    }
}

fn below_sysroot(root: &OwnedFd, physical: &OwnedFd) -> Result<(), MountError> {
    attach(physical, open_dir(root, "sysroot")?, "the physical root")?;
    make_read_only(physical.as_fd(), "the physical root")
}

/// The state of the deployment: a directory by the name of its image.
fn open_state(physical: BorrowedFd<'_>, digest: &Digest) -> Result<OwnedFd, MountError> {
    let opened = open_dir(physical, &format!("{STATE}/{digest}"));
    opened.map_err(|error| match error.class() {
        error_class::ErrorClass::NotFound => MountError::NoState(Box::new(*digest)),
        _ => error.into(),
    })
}
