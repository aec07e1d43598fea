//! What a host stores things in.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use error_class::{Classified, ErrorClass};
use ostree::{OpenError, Repo};

/// The repository below a physical root.
const REPOSITORY: &str = "ostree/repo";

/// The stores of a host, or of a repository that has no host around it.
#[derive(Debug)]
pub struct Storage {
    root: Option<OwnedFd>,
    repo: Repo,
}

/// Why the stores cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The repository cannot be opened.
    #[error("cannot open the repository")]
    Repository(#[from] OpenError),
    /// What was asked for needs deployments, but there is only a repository.
    #[error("this needs a system, not only a repository")]
    NoSystem,
}

impl Classified for StorageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Repository(error) => error.class(),
            Self::NoSystem => ErrorClass::InvalidInput,
        }
    }
}

impl Storage {
    /// The stores below a physical root, which must have a repository.
    ///
    /// # Errors
    /// [`StorageError::Repository`].
    pub fn open(root: OwnedFd) -> Result<Self, StorageError> {
        let repo = Repo::open_at(root.as_fd(), Path::new(REPOSITORY))?;
        Ok(Self {
            root: Some(root),
            repo,
        })
    }

    /// A repository that has no system around it.
    #[must_use]
    pub fn of_repository(repo: Repo) -> Self {
        Self { root: None, repo }
    }

    /// The repository.
    #[must_use]
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// The physical root.
    ///
    /// # Errors
    /// [`StorageError::NoSystem`] when there is only a repository.
    pub fn root(&self) -> Result<BorrowedFd<'_>, StorageError> {
        self.root
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or(StorageError::NoSystem)
    }
}
