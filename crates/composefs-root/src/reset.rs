//! Back to how an image came: a deployment with neither the `/etc` nor the `/var` that there was.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::Path;

use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use rustix::fs::RenameFlags;

use crate::directory::names_in;
use crate::layout::{LEFT_STATEROOT, STATEROOTS};
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::{RootError, RootOrigin, RootRequest, Roots};

/// The stateroot that the first deployment gets, as bootc calls it.
pub(crate) const FIRST: &str = "default";

/// Longest name of a stateroot that is read.
const MAX_NAME: u64 = 4096;

impl Roots {
    /// Whose `/var` a deployment has: the name of a directory below `state/os`.
    #[must_use]
    pub fn stateroot(&self, id: &Digest) -> String {
        self.linked_stateroot(id)
            .unwrap_or_else(|| FIRST.to_owned())
    }

    /// The same, as far as its state says so.
    fn linked_stateroot(&self, id: &Digest) -> Option<String> {
        let link = format!("{}/var", Self::state_path(id));
        let target = rustix::fs::readlinkat(&self.physical, link, Vec::new()).ok()?;
        let target = target.to_string_lossy().into_owned();
        let (_, below) = target.rsplit_once("os/")?;
        below.strip_suffix("/var").map(str::to_owned)
    }

    /// The names of all stateroots.
    ///
    /// # Errors
    /// What the system said.
    pub fn stateroots(&self) -> Result<Vec<String>, RootError> {
        let names = names_in(self.physical.as_fd(), STATEROOTS)?;
        Ok(names.into_iter().map(|(name, _)| name).collect())
    }

    /// Let an image boot first with nothing of what was changed: in a new stateroot of this name, whose `/var` is that of
    /// the image. At once, also on the running system, which goes on with what it has.
    ///
    /// What was there stays until a clean-up finds that no deployment needs it: `/var` in its stateroot; and the state of a
    /// deployment of the same image, which cannot be booted any more, beside it as `deploy-ID`.
    ///
    /// # Errors
    /// [`RootError`]. What boots has not changed, or is what was asked for.
    pub fn reset(&self, request: &RootRequest, stateroot: &str) -> Result<(), RootError> {
        let locked = self.lock()?;
        locked.clear_next_root()?;
        locked.give_up_stage()?;
        locked.collect()?;
        self.note_left_stateroot()?;
        let image = self.open_image(&request.id)?;
        let menu = self.menu()?;
        let (entry, boot_type, checksum) = locked.install_boot(request, &image, &menu)?;
        let origin = request.origin.clone().booting(boot_type, &checksum);
        locked.write_menu(self.menu_with(entry, menu, request.retain))?;
        match self.has_state(&request.id) {
            true => locked.replace_state(&request.id, &image, &origin, stateroot)?,
            false => locked.make_state(&request.id, &image, &origin, None, stateroot)?,
        }
        locked.switch_menu()?;
        locked.collect()?;
        Ok(())
    }
}

impl Roots {
    /// The running system goes on with the `/etc` and `/var` that it has, wherever the link of its deployment leads.
    fn note_left_stateroot(&self) -> Result<(), RootError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let run = running.run.as_fd();
        if durable::read_optional(run, Path::new(LEFT_STATEROOT), MAX_NAME)?.is_none() {
            let name = self.stateroot(&running.argument.digest);
            durable::create_dir_all(run, Path::new("composefs"), 0o755)?;
            durable::publish_no_sync(run, Path::new(LEFT_STATEROOT), name.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    /// The stateroots that no deployment has, though others have one, and that the running system does not use.
    pub(crate) fn unused_stateroots(&self) -> Result<Vec<String>, RootError> {
        let alive = self.alive()?;
        let used = alive.iter().map(|id| self.linked_stateroot(id));
        let Some(mut used) = used.collect::<Option<BTreeSet<_>>>() else {
            // What is damaged may need anything.
            return Ok(Vec::new());
        };
        if used.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(run) = self.run() {
            let left = durable::read_optional(run, Path::new(LEFT_STATEROOT), MAX_NAME)?;
            used.extend(left.map(|name| String::from_utf8_lossy(&name).into_owned()));
        }
        let there = self.stateroots()?.into_iter();
        Ok(there.filter(|name| !used.contains(name)).collect())
    }
}

impl Locked<'_> {
    /// Make the state of a deployment anew. What it had is beside its `/var` then: both change places in one step.
    fn replace_state(
        &self,
        id: &Digest,
        image: &ImageRoot,
        origin: &RootOrigin,
        stateroot: &str,
    ) -> Result<(), RootError> {
        let physical = self.roots.physical.as_fd();
        let (place, old) = (Roots::state_path(id), self.roots.stateroot(id));
        let left = format!("{STATEROOTS}/{old}/deploy-{id}");
        self.fill_state(&left, id, image, origin, None, stateroot)?;
        crash_point("roots:fresh-state-made");
        let exchanged =
            rustix::fs::renameat_with(physical, &left, physical, &place, RenameFlags::EXCHANGE);
        exchanged.during("rename over", &place)?;
        durable::sync_filesystem(physical)?;
        crash_point("roots:fresh-state");
        Ok(())
    }
}
