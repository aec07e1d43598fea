use std::os::fd::AsFd as _;
use std::path::Path;

use serde::Serialize;

use crate::boot::room::BootRoom;
use crate::{BootError, Deployment, Sysroot, copy, dir};

/// Space that a deployment takes on each file system, in bytes. Directories are not counted, nor is
/// what is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SpacePlan {
    /// Copies of `/etc` and `/var`, on the file system of the repository.
    pub root_needed: u64,
    /// What is free there.
    pub root_available: u64,
    /// Additional initrds, and kernels that are copied to `/boot`: nothing where they are linked.
    pub boot_needed: u64,
    /// What is free there.
    pub boot_available: u64,
    /// What is freed there before, by removing those that would be removed afterwards.
    pub boot_freed: u64,
}

impl SpacePlan {
    /// The file system that is too small, with what is needed and available.
    #[must_use]
    pub const fn shortage(&self) -> Option<(&'static str, u64, u64)> {
        if self.root_needed > self.root_available {
            return Some((
                "the root file system",
                self.root_needed,
                self.root_available,
            ));
        }
        let in_boot = self.boot_available.saturating_add(self.boot_freed);
        if self.boot_needed > in_boot {
            return Some(("/boot", self.boot_needed, in_boot));
        }
        None
    }
}

impl Sysroot {
    /// What is free, and what a deployment takes whose kernel is as large as that of `like`, as an estimate
    /// before it is known what is to be deployed.
    ///
    /// # Errors
    /// [`BootError`].
    pub fn space_like(&self, like: &Deployment) -> Result<SpacePlan, BootError> {
        let boot = self.boot()?;
        let separate = dir::device(boot.as_fd())? != dir::device(self.repo().dir())?;
        let kernel = format!("ostree/{}-{}", like.id.stateroot, like.boot_checksum);
        let boot_needed = match separate && dir::exists(boot.as_fd(), &kernel)? {
            true => copy::size_of_tree(copy::Place::new(boot.as_fd(), Path::new(&kernel)))?,
            false => 0,
        };
        Ok(SpacePlan {
            root_needed: 0,
            root_available: dir::free_space(self.repo().dir())?,
            boot_needed,
            boot_available: dir::free_space(boot.as_fd())?,
            boot_freed: 0,
        })
    }

    pub(super) fn plan_space(
        &self,
        root_needed: u64,
        room: &BootRoom,
    ) -> Result<SpacePlan, crate::BootError> {
        Ok(SpacePlan {
            root_needed,
            root_available: dir::free_space(self.repo().dir())?,
            boot_needed: room.needed,
            boot_available: room.available,
            boot_freed: room.freed,
        })
    }
}
