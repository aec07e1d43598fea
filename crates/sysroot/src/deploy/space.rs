use std::os::fd::AsFd as _;

use serde::Serialize;

use super::DeployRequest;
use crate::boot::BootPlan;
use crate::overlay_initrd::bytes_missing;
use crate::{Sysroot, dir};

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
        if self.boot_needed > self.boot_available {
            return Some(("/boot", self.boot_needed, self.boot_available));
        }
        None
    }
}

impl Sysroot {
    pub(super) fn plan_space(
        &self,
        root_needed: u64,
        boot_plan: &BootPlan,
        request: &DeployRequest,
    ) -> Result<SpacePlan, crate::BootError> {
        let boot = self.boot()?;
        let mut boot_needed = bytes_missing(boot.as_fd(), &request.overlay_initrds)?;
        for (index, entry) in boot_plan.entries.iter().enumerate() {
            // Deployments with the same kernel share its directory.
            let shared = boot_plan
                .entries
                .iter()
                .take(index)
                .any(|e| e.boot_dir() == entry.boot_dir());
            boot_needed += if shared {
                0
            } else {
                self.boot_bytes(boot.as_fd(), entry)?
            };
        }
        Ok(SpacePlan {
            root_needed,
            root_available: dir::free_space(self.repo().dir())?,
            boot_needed,
            boot_available: dir::free_space(boot.as_fd())?,
        })
    }
}
