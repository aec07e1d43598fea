//! What is deployed.

use composefs_format::Digest;

use crate::{RootEntry, RootError, RootOrigin, Roots, StagedRoot};

/// A deployment.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain answer")]
pub struct RootDeployment {
    /// The image of its root.
    pub id: Digest,
    /// Where it comes from, if that can be read.
    pub origin: Option<RootOrigin>,
    /// Its boot entry, if it has one.
    pub entry: Option<RootEntry>,
    /// Whether it is running.
    pub booted: bool,
    /// Whether it boots first after a shutdown that completes it.
    pub staged: bool,
    /// Whether that waits for a release.
    pub locked: bool,
    /// What is damaged.
    pub problems: Vec<RootProblem>,
}

/// Something of a deployment that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootProblem {
    /// It has no state.
    #[error("its state is missing")]
    NoState,
    /// It has no origin, or a damaged one.
    #[error("its origin is missing or damaged")]
    NoOrigin,
    /// Its image is not in the repository.
    #[error("its image is missing")]
    NoImage,
    /// No boot entry leads to it.
    #[error("it has no boot entry")]
    NoEntry,
}

impl Roots {
    /// What is deployed, in the order in which it boots: what is staged is first. What is damaged is listed all the
    /// same.
    ///
    /// # Errors
    /// What the system said.
    pub fn deployments(&self) -> Result<Vec<RootDeployment>, RootError> {
        let staged = self.staged().ok().flatten();
        let mut found = Vec::new();
        let menu = self.menu()?;
        let is_done = |staged: &StagedRoot| {
            let is_pending = self.is_pending(&staged.id).unwrap_or_default();
            !is_pending && menu.iter().any(|entry| entry.id == Some(staged.id))
        };
        if let Some(staged) = staged.filter(|staged| !is_done(staged)) {
            let mut entries = self.staged_menu()?.into_iter();
            let entry = entries.find(|entry| entry.id == Some(staged.id));
            let mut deployment = self.deployment(staged.id, entry);
            (deployment.staged, deployment.locked) = (true, staged.locked);
            // The same image may be running, too: then this is about its next boot.
            deployment.booted = false;
            found.push(deployment);
        }
        for entry in menu {
            if let Some(id) = entry.id {
                found.push(self.deployment(id, Some(entry)));
            }
        }
        if let Some(booted) = self.booted()
            && !found.iter().any(|one| one.booted)
        {
            found.push(self.deployment(booted.digest, None));
        }
        Ok(found)
    }

    fn deployment(&self, id: Digest, entry: Option<RootEntry>) -> RootDeployment {
        let origin = self.origin(&id).ok().flatten();
        let problems = [
            (self.has_state(&id), RootProblem::NoState),
            (origin.is_some(), RootProblem::NoOrigin),
            (self.has_image(&id), RootProblem::NoImage),
            (entry.is_some(), RootProblem::NoEntry),
        ];
        let problems = problems.into_iter().filter(|(holds, _)| !holds);
        RootDeployment {
            id,
            origin,
            entry,
            booted: self.booted().is_some_and(|booted| booted.digest == id),
            staged: false,
            locked: false,
            problems: problems.map(|(_, problem)| problem).collect(),
        }
    }

    fn has_image(&self, id: &Digest) -> bool {
        let path = format!("{}/{id}", crate::layout::IMAGES);
        rustix::fs::statat(&self.physical, path, rustix::fs::AtFlags::empty()).is_ok()
    }
}
