//! Back to how an image came: a deployment with neither the `/etc` nor the `/var` that there was.

use std::os::fd::AsFd as _;

use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use rustix::fs::RenameFlags;

use crate::directory::names_in;
use crate::layout::STATEROOTS;
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::{RootError, RootOrigin, RootRequest, Roots};

/// The stateroot that the first deployment gets, as bootc calls it.
pub(crate) const FIRST: &str = "default";

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
    /// What was there stays: `/var` in its stateroot; and the state of a deployment of the same image, which cannot be
    /// booted any more, beside it as `deploy-ID`.
    ///
    /// # Errors
    /// [`RootError`]. What boots has not changed, or is what was asked for.
    pub fn reset(&self, request: &RootRequest, stateroot: &str) -> Result<(), RootError> {
        let locked = self.lock()?;
        locked.clear_next_root()?;
        locked.give_up_stage()?;
        locked.collect()?;
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
