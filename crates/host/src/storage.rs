//! What a host stores things in.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use composefs::{Store, StoreError};
use composefs_format::Algorithm;
use error_class::{Classified, ErrorClass};
use ostree::{BootId, ConfigError, OpenError, Repo};
use rustix::fs::AtFlags;
use sysroot::{Layout, OpenSysrootError, Running, Sysroot, SysrootOptions};

/// The repository below a physical root.
const REPOSITORY: &str = "ostree/repo";

/// The stores of a host, or of a repository that has no host around it.
#[derive(Debug)]
pub struct Storage {
    root: Option<OwnedFd>,
    running: Option<RunningSystem>,
    repo: Repo,
    options: SysrootOptions,
}

/// Directories of the running system that tell what was booted.
#[derive(Debug)]
pub struct RunningSystem {
    /// `/run`.
    pub run: OwnedFd,
    /// `/`.
    pub root: OwnedFd,
}

/// Why the stores cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] OpenError),
    /// The configuration of a new repository cannot be written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What was asked for needs deployments, but there is only a repository.
    #[error("this needs a system, not only a repository")]
    NoSystem,
    /// The deployments cannot be reached.
    #[error(transparent)]
    Sysroot(#[from] OpenSysrootError),
    /// The composefs repository cannot be used.
    #[error(transparent)]
    Composefs(#[from] StoreError),
    /// It cannot be told what was booted.
    #[error(transparent)]
    Running(#[from] durable::Error),
    /// A directory descriptor cannot be copied.
    #[error("cannot copy a directory descriptor")]
    Descriptor(#[source] std::io::Error),
}

impl Classified for StorageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Repository(error) => error.class(),
            Self::Config(error) => error.class(),
            Self::NoSystem => ErrorClass::InvalidInput,
            Self::Sysroot(error) => error.class(),
            Self::Composefs(error) => error.class(),
            Self::Running(error) => error.class(),
            Self::Descriptor(error) => error.class(),
        }
    }
}

impl Storage {
    /// The stores below a physical root, which must have a repository. `running` says that it is the root
    /// of the running system.
    ///
    /// # Errors
    /// [`StorageError::Repository`].
    pub fn open(root: OwnedFd, running: Option<RunningSystem>) -> Result<Self, StorageError> {
        let repo = Repo::open_at(root.as_fd(), Path::new(REPOSITORY))?;
        Ok(Self {
            root: Some(root),
            running,
            repo,
            options: SysrootOptions::default(),
        })
    }

    /// Makes what is missing of a system in `root`, for its first deployment, and opens its stores. Of a new one,
    /// `/sysroot` is mounted read-only when it runs, as on systems that bootc installs.
    ///
    /// # Errors
    /// [`StorageError::Sysroot`]; what was made until then stays and is completed by calling again.
    pub fn create(root: OwnedFd) -> Result<Self, StorageError> {
        let there =
            rustix::fs::statat(&root, format!("{REPOSITORY}/config"), AtFlags::empty()).is_ok();
        Sysroot::create(copy(&root)?, Layout::Modern, SysrootOptions::default())?;
        let mut storage = Self::open(root, None)?;
        if !there {
            let mut config = storage.repo.config().file.clone();
            config.set("sysroot", "readonly", "true");
            storage.repo.write_config(&config)?;
        }
        Ok(storage)
    }

    /// A repository that has no system around it.
    #[must_use]
    pub fn of_repository(repo: Repo) -> Self {
        Self {
            root: None,
            running: None,
            repo,
            options: SysrootOptions::default(),
        }
    }

    /// The same stores, whose deployments are worked on with these options.
    #[must_use]
    pub fn with_options(self, options: SysrootOptions) -> Self {
        Self { options, ..self }
    }

    /// The same stores, in this boot of the machine, if it is known which that is.
    #[must_use]
    pub fn in_boot(mut self, boot: Option<BootId>) -> Self {
        if let Some(boot) = boot {
            self.repo.set_boot(boot);
        }
        self
    }

    /// The repository.
    #[must_use]
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The composefs repository, if there is one.
    ///
    /// # Errors
    /// [`StorageError::NoSystem`], and whatever keeps this program from using it.
    pub fn composefs(&self) -> Result<Option<Store>, StorageError> {
        Ok(crate::composefs_store(self.root()?)?)
    }

    /// The composefs repository, made with digests of `algorithm` where there is none.
    ///
    /// # Errors
    /// As [`Storage::composefs`].
    pub fn ensure_composefs(&self, algorithm: Algorithm) -> Result<Store, StorageError> {
        Ok(crate::ensure_composefs_store(self.root()?, algorithm)?)
    }

    /// The physical root.
    pub(crate) fn root(&self) -> Result<BorrowedFd<'_>, StorageError> {
        let root = self.root.as_ref().ok_or(StorageError::NoSystem)?;
        Ok(root.as_fd())
    }

    /// The deployments.
    ///
    /// # Errors
    /// [`StorageError::NoSystem`] when there is only a repository, and whatever keeps deployments from
    /// being reached.
    pub fn sysroot(&self) -> Result<Sysroot, StorageError> {
        let root = self.root.as_ref().ok_or(StorageError::NoSystem)?;
        let running = match &self.running {
            Some(system) => Running::look(copy(&system.run)?, system.root.as_fd())?,
            None => None,
        };
        Ok(Sysroot::open(copy(root)?, self.options.clone(), running)?)
    }
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd, StorageError> {
    fd.try_clone().map_err(StorageError::Descriptor)
}
