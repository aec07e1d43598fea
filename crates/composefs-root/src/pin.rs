//! Deployments that no other drives out.

use std::os::fd::AsFd as _;
use std::path::Path;

use composefs_format::Digest;

use crate::roots::Locked;
use crate::{RootError, RootOrigin, Roots};

impl Roots {
    /// Keep a deployment, so that no other drives it out, or no longer.
    ///
    /// # Errors
    /// [`RootError::NoOrigin`] where nothing can be noted.
    pub fn set_pinned(&self, id: &Digest, pinned: bool) -> Result<(), RootError> {
        let locked = self.lock()?;
        locked.change_origin(id, |origin| origin.pinned(pinned))
    }

    /// Let a deployment follow another image from now on.
    ///
    /// # Errors
    /// [`RootError::NoOrigin`] where nothing can be noted.
    pub fn follow(&self, id: &Digest, reference: &str) -> Result<(), RootError> {
        let locked = self.lock()?;
        locked.change_origin(id, |origin| origin.following(reference))
    }

    /// Whether no other deployment drives this one out.
    pub(crate) fn is_pinned(&self, id: &Digest) -> bool {
        let origin = self.origin(id).ok().flatten();
        origin.is_some_and(|origin| origin.is_pinned())
    }
}

impl Locked<'_> {
    fn change_origin(
        &self,
        id: &Digest,
        change: impl FnOnce(RootOrigin) -> RootOrigin,
    ) -> Result<(), RootError> {
        // Whoever was stopped in a change has left something.
        self.collect()?;
        let origin = self.roots.origin(id)?;
        let origin = change(origin.ok_or_else(|| RootError::NoOrigin(Box::new(*id)))?);
        let path = format!("{}/{id}.origin", Roots::state_path(id));
        let (physical, text) = (self.roots.physical.as_fd(), origin.to_string());
        durable::publish(physical, Path::new(&path), text.as_bytes(), 0o644)?;
        Ok(())
    }
}
