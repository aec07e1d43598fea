//! The description of a stage on disk, beside the one in `/run`.
//!
//! `/run` does not outlive the system. When no shutdown completed a stage, because the power went or
//! because completing it failed, the next boot finds its description in `ostree/` and takes it up again.
//! Programs that only know `/run` (libostree) forget such a stage; what they discard or complete while the
//! system runs is not brought back, which the mark in `/run` tells ([`Running::knows_kept_stage`]).

use std::path::Path;

use durable::Error;

use crate::running::Running;
use crate::{Deployment, DeploymentId, Locked, StagedData, State, Sysroot, dir};

/// Below the physical root; the same format as the description in `/run`.
const KEPT: &str = "ostree/bootroot-staged-deployment";

/// Largest description that is read.
const MAX_KEPT: u64 = 16 * 1024 * 1024;

impl Sysroot {
    /// What is described on disk. A damaged description describes nothing.
    fn kept_stage(&self) -> Result<Option<StagedData>, Error> {
        let bytes = durable::read_optional(self.dir(), Path::new(KEPT), MAX_KEPT)?;
        let parse = |bytes: Vec<u8>| match StagedData::from_bytes(&bytes) {
            Ok(staged) => Some(staged),
            Err(error) => {
                tracing::warn!(%error, "{KEPT}");
                None
            }
        };
        Ok(bytes.and_then(parse))
    }

    /// Descriptions that were being written.
    pub(crate) fn stray_descriptions(&self) -> Result<Vec<String>, Error> {
        let (parent, name) = KEPT.split_once('/').unwrap_or((".", KEPT));
        let temporary = format!(".{name}.");
        let names = dir::names_below(self.dir(), parent)?.into_iter();
        let strays = names.filter(|(name, _)| name.starts_with(&temporary));
        Ok(strays.map(|(name, _)| format!("{parent}/{name}")).collect())
    }

    /// A stage that no shutdown has completed, if there is one that still can be.
    pub(crate) fn missed_stage(
        &self,
        deployments: &[Deployment],
    ) -> Result<Option<StagedData>, Error> {
        if let Some(running) = &self.running
            && running.knows_kept_stage()?
        {
            return Ok(None);
        }
        let Some(staged) = self.kept_stage()? else {
            return Ok(None);
        };
        let id = &staged.target.0;
        let boots = deployments.iter().any(|deployment| deployment.id == *id);
        let is_there = !boots && dir::open_optional(self.dir(), id.path())?.is_some();
        Ok(is_there.then_some(staged))
    }
}

impl Locked<'_> {
    /// Describe a stage on disk and in `/run`, in this order: whatever happens in between, it is not lost.
    pub(crate) fn write_stage(&self, running: &Running, staged: &StagedData) -> Result<(), Error> {
        self.keep_stage(staged)?;
        durable::crash_point("sysroot:stage-kept");
        running.write_stage(staged)
    }

    fn keep_stage(&self, staged: &StagedData) -> Result<(), Error> {
        let bytes = staged.to_bytes();
        durable::publish(self.dir(), Path::new(KEPT), &bytes, 0o644)
    }

    /// Forget what is staged; whether anything was.
    pub(crate) fn forget_stage(&self) -> Result<bool, Error> {
        let was_kept = dir::exists(self.dir(), KEPT)?;
        let was = match &self.running {
            Some(running) => running.remove_stage()?,
            None => was_kept,
        };
        dir::unlink_optional(self.dir(), KEPT)?;
        Ok(was)
    }

    /// Take up a stage that no shutdown has completed: it is completed at the next one. What was taken up.
    ///
    /// # Errors
    /// What the system said.
    pub fn resume_stage(&self) -> Result<Option<DeploymentId>, crate::LoadError> {
        let state = self.load()?;
        match (&self.running, state.missed_stage()) {
            (Some(running), Some(staged)) => {
                running.write_stage(staged)?;
                Ok(Some(staged.target.0.clone()))
            }
            _ => Ok(None),
        }
    }

    /// Bring the description on disk in line with `/run`, which other programs change without it.
    pub(crate) fn settle_kept_stage(&self, state: &State) -> Result<(), Error> {
        if state.stage_missed || matches!(state.staged, Some(Err(_))) {
            return Ok(());
        }
        let kept = self.kept_stage()?;
        match state.staged() {
            Some(staged) if kept.as_ref() != Some(staged) => self.keep_stage(staged),
            Some(_) => Ok(()),
            None => dir::unlink_optional(self.dir(), KEPT),
        }
    }
}
