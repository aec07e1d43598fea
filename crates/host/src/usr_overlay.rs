//! Making `/usr` of the running system writable.

use std::io;

use progress::{Interrupt, Progress};
use sysroot::{Locked, UnlockError, UnlockFor, UsrOverlay};

use crate::ChangeError;

/// Mounts an overlay on `/usr`, which only the edge does.
pub type MountOverlay<'a> = dyn Fn(&UsrOverlay) -> io::Result<()> + 'a;

/// Unlock the running deployment of OSTree; its name.
///
/// # Errors
/// [`ChangeError`]; directories that were made stay, and a copy that was deployed for a hotfix.
pub fn unlock_usr(
    locked: &Locked<'_>,
    unlock: UnlockFor,
    mount: &MountOverlay<'_>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<String, ChangeError> {
    let state = locked.load()?;
    let booted = state.booted().ok_or(UnlockError::NotBooted)?;
    let policy = ::image::policy_of_commit(locked.repo(), &booted.id.commit)?;
    let overlay = locked.prepare_unlock(unlock, policy.as_ref(), progress, interrupt)?;
    mount(&overlay).map_err(|source| ChangeError::Overlay {
        options: overlay.options.clone(),
        source,
    })?;
    locked.mark_unlocked(&overlay.deployment, unlock)?;
    Ok(overlay.deployment.to_string())
}
