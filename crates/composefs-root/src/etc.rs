//! What was changed in the `/etc` of a deployment.

use std::os::fd::AsFd as _;

use composefs_format::Digest;
use sysroot::{EtcChanges, etc_changes};

use crate::{RootError, Roots};

impl Roots {
    /// Compare the `/etc` of a deployment with that of its image.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn etc_changes(&self, id: &Digest) -> Result<EtcChanges, RootError> {
        let Some((default, current)) = self.changed_etc(id)? else {
            return Ok(EtcChanges::default());
        };
        Ok(etc_changes(default.as_fd(), current.as_fd())?)
    }

    /// Where the `/etc` of a deployment is kept, below the physical root.
    #[must_use]
    pub fn etc_path(id: &Digest) -> String {
        format!("{}/etc", Self::state_path(id))
    }
}
