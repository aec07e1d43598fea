use boot_format::KernelArgError;
use error_class::{Classified, ErrorClass};
use ostree::{CheckoutError, ReadError};
use ostree_format::{Checksum, RepoMode};
use progress::Interrupted;

use crate::boot::BootError;
use crate::cleanup::CleanupError;
use crate::kernel::KernelError;
use crate::refs::DeploymentRefError;
use crate::source::SourceError;
use crate::{DeploymentId, EtcBlock, StaterootName};

/// Why a commit was not deployed.
///
/// What was made until then is removed if that is possible, and by the next call otherwise; which
/// deployments boot has not changed, unless clean-up after a complete deployment is what failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployError {
    /// The stateroot does not exist.
    #[error("there is no stateroot {0}")]
    NoStateroot(StaterootName),
    /// The repository's files cannot be linked into a deployment.
    #[error("the repository of a system must be of mode bare to deploy from it, not {0}")]
    RepoMode(RepoMode),
    /// Objects of the commit have not been fetched.
    #[error("commit {0} is not complete in the repository")]
    Partial(Checksum),
    /// The commit has no kernel that could be booted.
    #[error("commit {commit} cannot be booted: {source}")]
    Kernel {
        /// The commit.
        commit: Checksum,
        /// What is wrong.
        #[source]
        source: Box<KernelError>,
    },
    /// The commit's configuration is not where it belongs.
    #[error("commit {commit} has files in /etc; they belong in /usr/etc")]
    EtcNotInUsr {
        /// The commit.
        commit: Checksum,
    },
    /// The commit asks for a root of composefs, and none is written.
    #[error(
        "commit {commit} is to be mounted by composefs (usr/lib/ostree/prepare-root.conf), which is not \
         supported: it would not boot"
    )]
    Composefs {
        /// The commit.
        commit: Checksum,
    },
    /// The deployment that was to be merged from is not deployed.
    #[error("deployment {0}, which is to be merged from, is not deployed")]
    NoMergeDeployment(Box<DeploymentId>),
    /// A kernel argument that is to be deleted is there several times.
    #[error(transparent)]
    KernelArgs(#[from] KernelArgError),
    /// Local changes in `/etc` cannot be carried over.
    #[error("{0}; remove or move it before deploying")]
    Etc(EtcBlock),
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
    /// Boot entries could not be planned or written.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// What is left over could not be removed.
    #[error(transparent)]
    Cleanup(#[from] CleanupError),
    /// The refs of deployments could not be written.
    #[error(transparent)]
    Refs(#[from] DeploymentRefError),
    /// The tree could not be checked out.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// A tree could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl From<ReadError> for DeployError {
    fn from(error: ReadError) -> Self {
        Self::Source(error.into())
    }
}

impl Classified for DeployError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoStateroot(_) | Self::NoMergeDeployment(_) => ErrorClass::NotFound,
            Self::RepoMode(_) | Self::Composefs { .. } => ErrorClass::Unsupported,
            Self::Partial(_) => ErrorClass::Corrupt,
            Self::EtcNotInUsr { .. } | Self::Etc(_) => ErrorClass::InvalidInput,
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::Outdated => ErrorClass::Locked,
            Self::Kernel { source, .. } => source.class(),
            Self::KernelArgs(error) => error.class(),
            Self::Boot(error) => error.class(),
            Self::Cleanup(error) => error.class(),
            Self::Refs(error) => error.class(),
            Self::Checkout(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
