//! Back to how an image came: a deployment with neither the `/etc` nor the `/var` that there was.

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
        let link = format!("{}/var", Self::state_path(id));
        let target = rustix::fs::readlinkat(&self.physical, link, Vec::new()).ok();
        let target = target.map(|target| target.to_string_lossy().into_owned());
        let name = target.as_deref().and_then(|target| {
            let (_, below) = target.rsplit_once("os/")?;
            below.strip_suffix("/var")
        });
        name.unwrap_or(FIRST).to_owned()
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
    /// What was there stays until it is removed ([`Roots::remove_stateroot`]): `/var` in its stateroot; and the state of a
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

    /// The stateroot of the running system, whatever its deployment has by now.
    ///
    /// # Errors
    /// What the system said.
    pub fn running_stateroot(&self) -> Result<Option<String>, RootError> {
        let Some(running) = &self.running else {
            return Ok(None);
        };
        let left =
            durable::read_optional(running.run.as_fd(), Path::new(LEFT_STATEROOT), MAX_NAME)?;
        let left = left.map(|name| String::from_utf8_lossy(&name).into_owned());
        Ok(Some(left.unwrap_or_else(|| {
            self.stateroot(&running.argument.digest)
        })))
    }

    /// Remove a stateroot with its `/var`, and what states of deployments a reset has left there, unless it is used.
    /// Whether it was removed.
    ///
    /// # Errors
    /// [`RootError`]; what was removed until then is gone, and the next call goes on.
    pub fn remove_stateroot(&self, name: &str) -> Result<bool, RootError> {
        let _locked = self.lock()?;
        let of = |id: &Digest| self.stateroot(id) == name;
        if self.running_stateroot()?.as_deref() == Some(name) || self.alive()?.iter().any(of) {
            return Ok(false);
        }
        let path = format!("{STATEROOTS}/{name}");
        durable::remove_all(self.physical.as_fd(), Path::new(&path))?;
        crash_point("roots:stateroot-removed");
        Ok(true)
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
