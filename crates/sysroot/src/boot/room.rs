//! Room in a small `/boot`.
//!
//! Deployments that no longer boot afterwards normally go last, with their kernels. Where `/boot` cannot hold those beside
//! the new ones, they go first, in a step of its own: what stays boots at every moment, and it is never the running one
//! that goes.

use std::collections::HashSet;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use boot_format::BootDir;
use durable::{Error, crash_point};
use file_contexts::Policy;
use progress::Progress;

use super::plan::{BootPlan, Wanted};
use super::{BootError, BootSwitch};
use crate::cleanup::CleanupPlan;
use crate::copy::{self, Place};
use crate::load::State;
use crate::overlay_initrd::{self, OverlayInitrd};
use crate::{Deployment, DeploymentId, Locked, Sysroot, dir};

/// How much there is in `/boot`, and how much is needed, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BootRoom {
    pub(crate) needed: u64,
    pub(crate) available: u64,
    /// What those have there that go first.
    pub(crate) freed: u64,
    /// Deployments that have to go first.
    pub(crate) first: Vec<DeploymentId>,
}

impl Sysroot {
    /// How much a plan needs in `/boot`, and which deployments have to go first for that.
    pub(crate) fn boot_room(
        &self,
        state: &State,
        plan: &BootPlan,
        initrds: &[OverlayInitrd],
    ) -> Result<BootRoom, BootError> {
        let boot = self.boot()?;
        let mut needed = overlay_initrd::bytes_missing(boot.as_fd(), initrds)?;
        let mut seen = HashSet::new();
        for entry in &plan.entries {
            // Deployments with the same kernel share its directory.
            if seen.insert(entry.boot_dir().path()) {
                needed += self.boot_bytes(boot.as_fd(), entry)?;
            }
        }
        let available = dir::free_space(boot.as_fd())?;
        let mut room = BootRoom {
            needed,
            available,
            freed: 0,
            first: Vec::new(),
        };
        if needed > available && matches!(plan.switch, BootSwitch::Entries { .. }) {
            let dropped = state.deployments.iter().filter(|deployment| {
                let mut stay = plan.entries.iter().map(|entry| &entry.deployment);
                !stay.any(|id| *id == deployment.id)
            });
            for deployment in dropped {
                let path = boot_dir(deployment).path();
                if seen.insert(path.clone()) {
                    room.freed += size(boot.as_fd(), &path)?;
                }
                room.first.push(deployment.id.clone());
            }
        }
        if room.freed == 0 {
            room.first.clear();
        }
        Ok(room)
    }
}

fn boot_dir(deployment: &Deployment) -> BootDir {
    BootDir {
        stateroot: deployment.id.stateroot.to_string(),
        checksum: deployment.boot_checksum.clone(),
    }
}

fn size(boot: BorrowedFd<'_>, path: &str) -> Result<u64, Error> {
    match dir::exists(boot, path)? {
        true => copy::size_of_tree(Place::new(boot, Path::new(path))),
        false => Ok(0),
    }
}

impl Locked<'_> {
    /// Let those go first that have to. The plan that holds afterwards.
    pub(crate) fn make_room(
        &self,
        plan: BootPlan,
        wanted: &[Wanted],
        initrds: &[OverlayInitrd],
        policy: Option<&Policy>,
        progress: &dyn Progress,
    ) -> Result<BootPlan, BootError> {
        let state = self.load()?;
        let first = self.boot_room(&state, &plan, initrds)?.first;
        if first.is_empty() {
            return Ok(plan);
        }
        let stay = state.deployments.iter();
        let stay = stay.filter(|deployment| !first.contains(&deployment.id));
        let stay: Vec<_> = stay.cloned().map(Wanted::existing).collect();
        let fewer = self.plan_boot(&state, &stay)?;
        self.apply_boot(&fewer, policy, progress)?;
        crash_point("sysroot:room-made");
        let state = self.load()?;
        // The new deployment, which nothing leads to yet, stays.
        let stale = self.plan_cleanup(&state)?;
        self.apply_cleanup(&CleanupPlan {
            boot_sets: stale.boot_sets,
            boot_files: stale.boot_files,
            ..CleanupPlan::default()
        })?;
        self.plan_boot(&state, wanted)
    }
}
