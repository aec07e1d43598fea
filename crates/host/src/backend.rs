//! The deployments of a system, whatever makes its roots. Which it is is decided once, when the system is opened.

use composefs_root::FinalizedRoot;
use oci::reference::OstreeImageReference;
use progress::{Interrupt, Progress};
use sysroot::{Finalized, Sysroot};

use crate::{
    Access, Change, ChangeError, ChangeOptions, Check, RunningFacts, Selector, Status,
    UpgradeOptions, Upgraded,
};

/// What can be done with a system's deployments.
pub trait Backend {
    /// Whether they are those of the running system, so that what is deployed is staged.
    fn is_running(&self) -> bool;

    /// What is deployed. What is damaged is part of the answer.
    ///
    /// # Errors
    /// [`ChangeError`] when nothing can be told.
    fn status(&self, facts: RunningFacts) -> Result<Status, ChangeError>;

    /// Whether there is something newer of the image that is followed.
    ///
    /// # Errors
    /// [`ChangeError`].
    fn check_upgrade(&self, job: &Job<'_>) -> Result<Check, ChangeError>;

    /// Fetch what is newer of the image that is followed, and deploy it.
    ///
    /// # Errors
    /// [`ChangeError`]; an image that was pulled by then stays.
    fn upgrade(&self, job: &Job<'_>) -> Result<Upgraded, ChangeError>;

    /// Follow another image from now on: fetch it and deploy it.
    ///
    /// # Errors
    /// [`ChangeError`]; an image that was pulled by then stays.
    fn switch(&self, image: &OstreeImageReference, job: &Job<'_>) -> Result<Upgraded, ChangeError>;

    /// Let another deployment boot first, or take that back.
    ///
    /// # Errors
    /// [`ChangeError`]; what boots is as it was.
    fn rollback(
        &self,
        wanted: Option<&Selector>,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError>;

    /// Complete what is staged, when the system shuts down.
    ///
    /// # Errors
    /// [`ChangeError`]; calling again completes it.
    fn finalize(&self) -> Result<Completed, ChangeError>;
}

/// What an image is fetched for, and how.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "progress has none")]
#[expect(clippy::exhaustive_structs, reason = "all of it has to be said")]
pub struct Job<'a> {
    /// How images are reached.
    pub access: &'a Access,
    /// What is wanted.
    pub options: &'a UpgradeOptions,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Who may stop it.
    pub interrupt: &'a Interrupt,
}

/// What a shutdown has completed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are the outcomes")]
pub enum Completed {
    /// Nothing was staged.
    Nothing,
    /// This one waits for a release.
    Held(String),
    /// This one boots first from now on.
    Done(String),
}

/// Deployments of commits of OSTree.
#[derive(Debug)]
pub struct BootedOstree(Sysroot);

impl BootedOstree {
    /// Those of a sysroot.
    #[must_use]
    pub const fn new(sysroot: Sysroot) -> Self {
        Self(sysroot)
    }
}

impl Backend for BootedOstree {
    fn is_running(&self) -> bool {
        self.0.is_running()
    }

    fn status(&self, facts: RunningFacts) -> Result<Status, ChangeError> {
        Ok(crate::status(&self.0, facts)?)
    }

    fn check_upgrade(&self, job: &Job<'_>) -> Result<Check, ChangeError> {
        crate::check_upgrade(
            &self.0,
            job.access,
            job.options,
            job.progress,
            job.interrupt,
        )
    }

    fn upgrade(&self, job: &Job<'_>) -> Result<Upgraded, ChangeError> {
        crate::upgrade(
            &self.0,
            job.access,
            job.options,
            job.progress,
            job.interrupt,
        )
    }

    fn switch(&self, image: &OstreeImageReference, job: &Job<'_>) -> Result<Upgraded, ChangeError> {
        let (options, progress) = (job.options, job.progress);
        crate::switch(&self.0, image, job.access, options, progress, job.interrupt)
    }

    fn rollback(
        &self,
        wanted: Option<&Selector>,
        options: &ChangeOptions,
        progress: &dyn Progress,
    ) -> Result<Change, ChangeError> {
        crate::rollback(&self.0, wanted, options, progress)
    }

    fn finalize(&self) -> Result<Completed, ChangeError> {
        if !self.is_running() {
            return Ok(Completed::Nothing);
        }
        let locked = self.0.lock(ChangeOptions::default().lock_timeout)?;
        let staged = locked.load()?.staged().map(|staged| staged.target.0.commit);
        let policy = match staged {
            Some(commit) => ::image::policy_of_commit(locked.repo(), &commit)?,
            None => None,
        };
        Ok(match locked.finalize_staged(policy.as_ref())? {
            Finalized::Nothing => Completed::Nothing,
            Finalized::Locked(id) => Completed::Held(id.to_string()),
            Finalized::Done(id) => Completed::Done(id.to_string()),
        })
    }
}

impl From<FinalizedRoot> for Completed {
    fn from(finalized: FinalizedRoot) -> Self {
        match finalized {
            FinalizedRoot::Done(id) => Self::Done(id.to_string()),
            FinalizedRoot::Locked(id) => Self::Held(id.to_string()),
            _ => Self::Nothing,
        }
    }
}
