//! Unlocking the running deployment: an overlay makes its `/usr` writable.
//!
//! What is written goes to the deployment's backing directory and is gone with the next boot, or, for a
//! hotfix, to the deployment itself, which `ostree-prepare-root` mounts again at every boot. Layout, marks and
//! the copy that a hotfix leaves to go back to are those of `ostree admin unlock`.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use durable::{Error, IoContext as _};
use error_class::{Classified, ErrorClass};
use file_contexts::Policy;
use progress::{Interrupt, Progress};
use rustix::fs::AtFlags;

use crate::{
    DeployError, DeployRequest, Deployment, DeploymentId, LoadError, Locked, MergeFrom, Unlocked,
    attributes, dir, immutable,
};

/// Where the overlay of a hotfix is, in the deployment.
const HOTFIX_UPPER: &str = ".usr-ovl-upper";
const HOTFIX_WORK: &str = ".usr-ovl-work";
/// Where another one is, in the backing directory.
const TRANSIENT: &str = "usr-transient";

/// For how long, and how, a deployment is unlocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are these three ways")]
pub enum UnlockFor {
    /// Until the next boot.
    Development,
    /// Until the next boot, and mounted read-only: who wants to write remounts it.
    Transient,
    /// For good. A locked copy is deployed behind it, to go back to.
    Hotfix,
}

/// The overlay that is to be mounted on `/usr`.
#[derive(Debug)]
#[non_exhaustive]
pub struct UsrOverlay {
    /// The deployment that was prepared.
    pub deployment: DeploymentId,
    /// Its directory: the options are relative to it.
    pub root: OwnedFd,
    /// Options of the overlay file system.
    pub options: String,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// Why a deployment was not unlocked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlockError {
    /// Only what runs can be unlocked.
    #[error("not booted into a deployment: there is nothing to unlock")]
    NotBooted,
    /// It is unlocked already.
    #[error("Deployment is already in unlocked state: {0}")]
    Already(Unlocked),
    /// It cannot be read what is deployed.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The copy to go back to could not be deployed.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] Error),
}

impl Classified for UnlockError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotBooted | Self::Already(_) => ErrorClass::InvalidInput,
            Self::Load(error) => error.class(),
            Self::Deploy(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Locked<'_> {
    /// Prepare an overlay for the `/usr` of the running deployment. Mount it, then call
    /// [`Self::mark_unlocked`].
    ///
    /// # Errors
    /// [`UnlockError`]; directories that were made stay, and a copy that was deployed for a hotfix.
    pub fn prepare_unlock(
        &self,
        unlock: UnlockFor,
        policy: Option<&Policy>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<UsrOverlay, UnlockError> {
        let state = self.load()?;
        let booted = state.booted().ok_or(UnlockError::NotBooted)?;
        if booted.unlocked != Unlocked::None {
            return Err(UnlockError::Already(booted.unlocked));
        }
        if unlock == UnlockFor::Hotfix {
            let plan = self.plan_deploy(&state, &copy_behind(booted))?;
            self.apply_deploy(&plan, policy, progress, interrupt)?;
        }
        let id = &booted.id;
        let root = dir::open(self.dir(), id.path())?;
        immutable::set(root.as_fd(), false)?;
        let options = match unlock {
            UnlockFor::Hotfix => make_hotfix(root.as_fd())?,
            UnlockFor::Development | UnlockFor::Transient => {
                self.make_transient(id, root.as_fd(), policy)?
            }
        };
        Ok(UsrOverlay {
            deployment: id.clone(),
            root,
            options,
            read_only: unlock == UnlockFor::Transient,
        })
    }

    /// Note that the overlay is mounted.
    ///
    /// # Errors
    /// [`UnlockError`].
    pub fn mark_unlocked(&self, id: &DeploymentId, unlock: UnlockFor) -> Result<(), UnlockError> {
        let running = self.running.as_ref().ok_or(UnlockError::NotBooted)?;
        match unlock {
            UnlockFor::Development => running.mark(id, "unlocked-development")?,
            UnlockFor::Transient => running.mark(id, "unlocked-transient")?,
            UnlockFor::Hotfix => {
                let state = self.load()?;
                let origin = state.find(id).and_then(|found| found.origin.clone());
                let mut origin = origin.unwrap_or_default();
                origin.file_mut().set("origin", "unlocked", "hotfix");
                self.replace_origin(id, &origin)?;
            }
        }
        Ok(self.touch()?)
    }

    fn make_transient(
        &self,
        id: &DeploymentId,
        root: BorrowedFd<'_>,
        policy: Option<&Policy>,
    ) -> Result<String, Error> {
        let mode = mode_of_usr(root)?;
        let place = format!("{}/{TRANSIENT}", id.backing_path());
        // Nothing of an earlier boot shall shine through.
        durable::remove_all(self.dir(), Path::new(&place))?;
        dir::make_all(self.dir(), id.backing_path(), 0o700)?;
        for name in ["", "/upper", "/work"] {
            let path = format!("{place}{name}");
            dir::make(self.dir(), Path::new(&path), mode & 0o7777)?;
            let made = dir::open(self.dir(), &path)?;
            attributes::label_file(made, policy, "/usr", mode)?;
        }
        // As seen from the deployment's directory.
        let place = format!("../../backing/{}/{TRANSIENT}", id.directory());
        Ok(format!(
            "lowerdir=usr,upperdir={place}/upper,workdir={place}/work"
        ))
    }
}

fn make_hotfix(root: BorrowedFd<'_>) -> Result<String, Error> {
    let mode = mode_of_usr(root)? & 0o7777;
    for name in [HOTFIX_UPPER, HOTFIX_WORK] {
        dir::make(root, Path::new(name), mode)?;
    }
    Ok(format!(
        "lowerdir=usr,upperdir={HOTFIX_UPPER},workdir={HOTFIX_WORK}"
    ))
}

fn mode_of_usr(root: BorrowedFd<'_>) -> Result<u32, Error> {
    let stat =
        rustix::fs::statat(root, "usr", AtFlags::SYMLINK_NOFOLLOW).during("look at", "usr")?;
    Ok(stat.st_mode)
}

/// The same once more, behind the running one.
fn copy_behind(booted: &Deployment) -> DeployRequest {
    let mut request = DeployRequest::new(booted.id.stateroot.clone(), booted.id.commit);
    request.origin.clone_from(&booted.origin);
    request.merge = MergeFrom::Deployment(booted.id.clone());
    request.not_default = true;
    request
}
