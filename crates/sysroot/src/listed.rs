//! Deployments by the index that people name them by: a staged one counts first.

use crate::{Deployment, DeploymentId, StagedData, State};

/// A deployment in the list that people see.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else in the list")]
pub enum Listed<'a> {
    /// It is completed at shutdown.
    Staged(&'a StagedData),
    /// A boot entry leads to it.
    Deployed(&'a Deployment),
}

impl<'a> Listed<'a> {
    /// What it is called.
    #[must_use]
    pub const fn id(self) -> &'a DeploymentId {
        match self {
            Self::Staged(staged) => &staged.target.0,
            Self::Deployed(deployment) => &deployment.id,
        }
    }
}

impl State {
    /// What is staged, when that can be read.
    #[must_use]
    pub fn staged(&self) -> Option<&StagedData> {
        self.staged.as_ref()?.as_ref().ok()
    }

    /// What is staged, when an earlier shutdown should have completed it.
    pub(crate) fn missed_stage(&self) -> Option<&StagedData> {
        self.staged().filter(|_| self.stage_missed)
    }

    /// The deployments in the order of their indices.
    #[must_use]
    pub fn listed(&self) -> Vec<Listed<'_>> {
        let staged = self.staged().map(Listed::Staged);
        let deployed = self.deployments.iter().map(Listed::Deployed);
        staged.into_iter().chain(deployed).collect()
    }
}
