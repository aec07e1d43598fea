//! What is staged, and its completion when the system shuts down.

use std::os::fd::AsFd as _;

use composefs_format::Digest;
use durable::crash_point;

use crate::{RootError, Roots, StagedRoot};

/// What a shutdown has completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinalizedRoot {
    /// This one boots first from now on.
    Done(Digest),
    /// This one waits for a release.
    Locked(Digest),
    /// Nothing is staged.
    Nothing,
}

impl Roots {
    /// What is staged, if anything is.
    ///
    /// # Errors
    /// [`RootError::Staged`] when that cannot be read.
    pub fn staged(&self) -> Result<Option<StagedRoot>, RootError> {
        match &self.running {
            Some(running) => Ok(StagedRoot::read(running.run.as_fd())?),
            None => Ok(None),
        }
    }

    /// Complete what is staged: what is local in `/etc` now is carried over, and then it boots first. What is no longer
    /// needed is removed.
    ///
    /// # Errors
    /// [`RootError`]. The old boots, or the new one, and calling again completes it.
    pub fn finalize(&self) -> Result<FinalizedRoot, RootError> {
        let locked = self.lock()?;
        let Some(staged) = self.staged()? else {
            return Ok(FinalizedRoot::Nothing);
        };
        if staged.locked {
            return Ok(FinalizedRoot::Locked(staged.id));
        }
        if self.is_pending(&staged.id)? {
            let booted = self.booted().map(|argument| argument.digest);
            let other = booted.filter(|booted| *booted != staged.id);
            if let Some(booted) = other {
                locked.carry_etc(&staged.id, &self.open_image(&staged.id)?, &booted)?;
            }
            locked.switch_menu()?;
        } else if self.menu()?.iter().find_map(|entry| entry.id) != Some(staged.id) {
            return Err(RootError::NoDeployment(staged.id.to_string()));
        }
        locked.forget_menu()?;
        crash_point("roots:finalized");
        if let Some(running) = &self.running {
            StagedRoot::forget(running.run.as_fd())?;
        }
        locked.collect()?;
        Ok(FinalizedRoot::Done(staged.id))
    }

    /// Whether the entries that wait to take their place are those of this deployment. Right after they took it, those
    /// that were there before are in theirs.
    pub(crate) fn is_pending(&self, id: &Digest) -> Result<bool, RootError> {
        let menu = self.staged_menu()?;
        Ok(menu.iter().find_map(|entry| entry.id) == Some(*id))
    }

    /// Let what is staged be completed, or wait for a release.
    ///
    /// # Errors
    /// [`RootError::NothingStaged`].
    pub fn lock_finalization(&self, locked: bool) -> Result<StagedRoot, RootError> {
        let _lock = self.lock()?;
        let (Some(running), Some(staged)) = (&self.running, self.staged()?) else {
            return Err(RootError::NothingStaged);
        };
        let staged = StagedRoot { locked, ..staged };
        staged.write(running.run.as_fd())?;
        Ok(staged)
    }
}
