//! Removing a stateroot: what its deployments shared goes with it.

use std::path::Path;

use durable::crash_point;
use error_class::{Classified, ErrorClass};
use rustix::fs::FileType;

use crate::load::{LoadError, State};
use crate::{CleanupError, DeploymentId, Locked, StaterootName, Sysroot, dir};

/// Why a stateroot was not removed. Where removing began, `/var` of it may be gone in part: the same call completes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StaterootRemovalError {
    /// There is none of this name.
    #[error("there is no stateroot {0}")]
    NotFound(StaterootName),
    /// It has deployments that boot, or that may.
    #[error("stateroot {name} has deployments: {}", list(deployments))]
    InUse {
        /// The stateroot.
        name: StaterootName,
        /// Its deployments, one that is staged among them.
        deployments: Vec<DeploymentId>,
    },
    /// It could not be read what is deployed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What is left of its deployments could not be removed.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for StaterootRemovalError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::InUse { .. } => ErrorClass::InvalidInput,
            Self::Load(error) => error.class(),
            Self::Cleanup(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

fn list(deployments: &[DeploymentId]) -> String {
    let names: Vec<String> = deployments.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl Sysroot {
    /// Whether a stateroot can be removed: it is there, and nothing boots from it.
    ///
    /// # Errors
    /// [`StaterootRemovalError`].
    pub fn check_stateroot_removal(
        &self,
        state: &State,
        name: &StaterootName,
    ) -> Result<(), StaterootRemovalError> {
        if !self.has_stateroot(name)? {
            return Err(StaterootRemovalError::NotFound(name.clone()));
        }
        let mut deployments = self.needed_deployments(state)?;
        deployments.retain(|id| id.stateroot == *name);
        for (directory, kind) in dir::names_below(self.dir(), format!("{}/deploy", name.path()))? {
            let id = DeploymentId::from_directory(name.clone(), &directory);
            if let (Ok(id), FileType::Directory) = (id, kind)
                && self.is_running_root(&id)?
            {
                deployments.push(id);
            }
        }
        if deployments.is_empty() {
            return Ok(());
        }
        deployments.sort();
        deployments.dedup();
        Err(StaterootRemovalError::InUse {
            name: name.clone(),
            deployments,
        })
    }
}

impl Locked<'_> {
    /// Remove a stateroot that has no deployments, with its `/var` and what is left of earlier deployments.
    ///
    /// # Errors
    /// [`StaterootRemovalError`].
    pub fn remove_stateroot(&self, name: &StaterootName) -> Result<(), StaterootRemovalError> {
        self.check_stateroot_removal(&self.load()?, name)?;
        self.cleanup()?;
        // As long as the directory is there, the stateroot is: what is gone in part can be removed again.
        durable::remove_all(self.dir(), Path::new(&name.var()))?;
        crash_point("sysroot:var-removed");
        durable::remove_all(self.dir(), Path::new(&name.path()))?;
        self.touch()?;
        Ok(())
    }
}
