use boot_format::KernelArgError;
use error_class::{Classified, ErrorClass};
use ostree::{CheckoutError, ComposefsError, ReadError};
use ostree_format::{Checksum, RepoMode};
use progress::Interrupted;

use crate::boot::BootError;
use crate::cleanup::CleanupError;
use crate::kernel::KernelError;
use crate::refs::DeploymentRefError;
use crate::source::SourceError;
use crate::staged::StagedError;
use crate::{DeploymentId, EtcBlock, StaterootName};

/// Why a commit was not deployed.
///
/// What was made until then is removed if that is possible, and by the next call otherwise; which
/// deployments boot has not changed, unless the clean-up after a complete deployment is what failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// The stateroot does not exist.
    #[error("No such stateroot: {0}")]
    NoStateroot(StaterootName),
    /// The repository's files cannot be linked into a deployment.
    #[error("the repository of a system must be of mode bare to deploy from it, not {0}")]
    RepoMode(RepoMode),
    /// The commit is not one that can be booted.
    #[error("commit {commit} cannot be deployed: {source}")]
    Commit {
        /// The commit.
        commit: Checksum,
        /// What is wrong with it.
        #[source]
        source: Box<UnfitCommit>,
    },
    /// Something cannot be inherited from another deployment.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A file system is too small.
    #[error("not enough space on {place}: {needed} bytes are needed, {available} are free")]
    NoSpace {
        /// The file system.
        place: &'static str,
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        available: u64,
    },
    /// Deployments have changed since the plan was made.
    #[error("what is deployed has changed since this was planned; plan again")]
    Outdated,
    /// Only what was booted by OSTree has a shutdown at which a stage is completed.
    #[error("Cannot stage deployment: Not currently booted into an OSTree system")]
    StageNotBooted,
    /// Nothing is staged.
    #[error("No staged deployment")]
    NoStage,
    /// What is staged cannot be read.
    #[error(transparent)]
    Stage(#[from] StagedError),
    /// Boot entries could not be planned or written.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// What is left over could not be removed, or refs could not be written.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// The tree could not be read or written.
    #[error(transparent)]
    Tree(#[from] CheckoutError),
    /// The image by which composefs mounts the root could not be made.
    #[error(transparent)]
    Image(#[from] ComposefsError),
}

/// Why a commit cannot be booted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnfitCommit {
    /// Objects of it have not been fetched.
    #[error("it is not complete in the repository")]
    Partial,
    /// It has no kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Its configuration is not where it belongs.
    #[error("it has files in /etc; they belong in /usr/etc")]
    EtcNotInUsr,
    /// How its root is to be mounted is not understood.
    #[error(
        "composefs.enabled={value:?} in usr/lib/ostree/prepare-root.conf is none of yes, no, maybe, verity and signed"
    )]
    PrepareRoot {
        /// What is said there.
        value: String,
    },
}

/// Why something cannot be inherited from another deployment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The deployment that was to be merged from is not deployed.
    #[error("deployment {0}, which is to be merged from, is not deployed")]
    NoDeployment(Box<DeploymentId>),
    /// A kernel argument that is to be deleted is there several times.
    #[error(transparent)]
    KernelArgs(#[from] KernelArgError),
    /// Local changes in `/etc` cannot be carried over.
    #[error("{0}; remove or move it before deploying")]
    Etc(EtcBlock),
}

impl From<KernelArgError> for DeployError {
    fn from(error: KernelArgError) -> Self {
        Self::Merge(error.into())
    }
}

impl From<DeploymentRefError> for DeployError {
    fn from(error: DeploymentRefError) -> Self {
        Self::Cleanup(error.into())
    }
}

impl From<SourceError> for DeployError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Read(error) => error.into(),
            SourceError::Io(error) => error.into(),
        }
    }
}

impl From<ReadError> for DeployError {
    fn from(error: ReadError) -> Self {
        Self::Tree(error.into())
    }
}

impl From<durable::Error> for DeployError {
    fn from(error: durable::Error) -> Self {
        Self::Tree(error.into())
    }
}

impl From<Interrupted> for DeployError {
    fn from(error: Interrupted) -> Self {
        Self::Tree(error.into())
    }
}

impl Classified for DeployError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoStateroot(_) => ErrorClass::NotFound,
            Self::RepoMode(_) => ErrorClass::Unsupported,
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::Outdated => ErrorClass::Locked,
            Self::StageNotBooted => ErrorClass::InvalidInput,
            Self::NoStage => ErrorClass::NotFound,
            Self::Stage(error) => error.class(),
            Self::Commit { source, .. } => source.class(),
            Self::Merge(error) => error.class(),
            Self::Boot(error) => error.class(),
            Self::Cleanup(error) => error.class(),
            Self::Tree(error) => error.class(),
            Self::Image(error) => error.class(),
        }
    }
}

impl Classified for UnfitCommit {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Partial => ErrorClass::Corrupt,
            Self::Kernel(error) => error.class(),
            Self::EtcNotInUsr => ErrorClass::InvalidInput,
            Self::PrepareRoot { .. } => ErrorClass::InvalidInput,
        }
    }
}

impl Classified for MergeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoDeployment(_) => ErrorClass::NotFound,
            Self::KernelArgs(error) => error.class(),
            Self::Etc(_) => ErrorClass::InvalidInput,
        }
    }
}
