//! Where the next root is put together: where nobody looks for it, so that it can be moved to its place in one step.
//!
//! That is a mount of its own, which no other mount namespace sees the inside of: in a namespace of its own, a process
//! that dies takes it along.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use durable::{IoContext as _, crash_point};
use error_class::{Classified, ErrorClass};
use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount, mount_change,
    move_mount, unmount,
};

use crate::dir;

/// Where systemd looks for the next root, below `/run`.
const TARGET: &str = "nextroot";

/// Where it is put together, below `/run`.
const PLACE: &str = "ostree/.private/next-root-mounts";

/// The root in there.
const ROOT: &str = "root";

/// Why the next root could not be mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NextRootMountError {
    /// Something cannot be mounted.
    #[error("cannot mount {what} of the next root")]
    Mount {
        /// What.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for NextRootMountError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Mount { source, .. } => source.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// Says what could not be mounted.
pub(super) fn failed(what: &'static str) -> impl FnOnce(Errno) -> NextRootMountError {
    move |errno| NextRootMountError::Mount {
        what,
        source: errno.into(),
    }
}

/// The place where the next root is put together.
#[derive(Debug)]
pub struct Workshop<'a> {
    run: BorrowedFd<'a>,
}

impl<'a> Workshop<'a> {
    /// Open it below `/run`. What somebody has left there is gone.
    ///
    /// # Errors
    /// [`NextRootMountError`].
    pub fn open(run: BorrowedFd<'a>) -> Result<Self, NextRootMountError> {
        let workshop = Self { run };
        workshop.close()?;
        dir::make_all(run, PLACE, 0o700)?;
        let failed = |errno| failed("the place for the mounts")(errno);
        let flags = MountFlags::NODEV | MountFlags::SILENT;
        let (place, kind) = (dir::open(run, PLACE)?, "tmpfs");
        mount(kind, path_of(place.as_fd()), kind, flags, c"mode=0700").map_err(failed)?;
        // Otherwise what is mounted in it could not be moved out of it again.
        let place = workshop.scratch()?;
        let private = MountPropagationFlags::PRIVATE;
        mount_change(path_of(place.as_fd()), private).map_err(failed)?;
        dir::make_all(place.as_fd(), ROOT, 0o755)?;
        Ok(workshop)
    }

    /// `/run`.
    pub(super) const fn run(&self) -> BorrowedFd<'a> {
        self.run
    }

    /// The directory over which the root is mounted, or what is mounted there.
    ///
    /// # Errors
    /// What the system said.
    pub fn root(&self) -> Result<OwnedFd, durable::Error> {
        dir::open(self.scratch()?.as_fd(), ROOT)
    }

    /// A directory for what is mounted on the way, of which nothing stays.
    ///
    /// # Errors
    /// What the system said.
    pub fn scratch(&self) -> Result<OwnedFd, durable::Error> {
        dir::open(self.run, PLACE)
    }

    /// Let what was put together be the next root, in one step.
    ///
    /// # Errors
    /// [`NextRootMountError`]; it is not the next root then.
    pub fn publish(&self) -> Result<(), NextRootMountError> {
        dir::make_all(self.run, TARGET, 0o755)?;
        let (from, to) = (self.root()?, dir::open(self.run, TARGET)?);
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(from.as_fd(), "", to.as_fd(), "", flags).map_err(failed("all"))?;
        crash_point("sysroot:next-root-mounted");
        Ok(self.close()?)
    }

    /// Take away what was being put together.
    ///
    /// # Errors
    /// What the system said.
    pub fn close(&self) -> Result<(), durable::Error> {
        unmount_all(self.run, PLACE).map(drop)
    }
}

/// Whether a next root is mounted.
///
/// # Errors
/// What the system said.
pub fn next_root_is_mounted(run: BorrowedFd<'_>) -> Result<bool, durable::Error> {
    match statx(run, TARGET, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error).during("look at", TARGET),
    }
}

/// Take the next root away; whether one was mounted.
///
/// # Errors
/// What the system said.
pub fn unmount_next_root(run: BorrowedFd<'_>) -> Result<bool, durable::Error> {
    unmount_all(run, TARGET)
}

/// Takes away everything that is mounted at `target` below `/run`; whether anything was.
fn unmount_all(run: BorrowedFd<'_>, target: &str) -> Result<bool, durable::Error> {
    let mut was = false;
    while let Some(place) = dir::open_optional(run, target)? {
        match unmount(path_of(place.as_fd()), UnmountFlags::DETACH) {
            Ok(()) => was = true,
            // Nothing is mounted there any more.
            Err(Errno::INVAL) => return Ok(was),
            Err(error) => return Err(error).during("unmount", target),
        }
    }
    Ok(was)
}

/// A path that leads to an open file, wherever it is.
pub(super) fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
