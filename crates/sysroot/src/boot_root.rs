//! Where `/boot` is.
//!
//! It belongs to the physical root, which may have a partition of its own mounted there. A running system may have that
//! partition mounted at its `/boot` alone, where libostree looks for it, too; then the physical root's is an empty
//! directory.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use durable::{Error, IoContext as _};
use rustix::fs::{AtFlags, statat};

use crate::running::Running;
use crate::{Sysroot, dir};

/// The link that names the set of entries that boots.
const LOADER: &str = "boot/loader";

/// The root of the running system, when its `/boot` has boot entries and is not that of the physical root.
pub(crate) fn elsewhere(
    physical: BorrowedFd<'_>,
    running: &Running,
) -> Result<Option<OwnedFd>, Error> {
    let mounted = running.mounted();
    // A name below it lets an automounter mount it.
    if !dir::exists(mounted, LOADER)? {
        return Ok(None);
    }
    let place = |root| {
        let stat = statat(root, "boot", AtFlags::empty()).during("look at", "boot")?;
        Ok((stat.st_dev, stat.st_ino))
    };
    let is_there = dir::exists(physical, "boot")?;
    if is_there && place(physical)? == place(mounted)? {
        return Ok(None);
    }
    Ok(Some(dir::open(mounted, ".")?))
}

impl Sysroot {
    /// The directory whose `boot` the boot loader reads: the physical root, or that of the running system.
    pub(crate) fn boot_root(&self) -> BorrowedFd<'_> {
        let elsewhere = self.boot_elsewhere.as_ref();
        elsewhere.map_or_else(|| self.dir(), |root| root.as_fd())
    }

    /// The directory that a path below the physical root is to be looked up in.
    pub(crate) fn root_of(&self, path: &str) -> BorrowedFd<'_> {
        match Path::new(path).starts_with("boot") {
            true => self.boot_root(),
            false => self.dir(),
        }
    }
}
