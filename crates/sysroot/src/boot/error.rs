use error_class::{Classified, ErrorClass};

use crate::DeploymentId;
use crate::kernel::KernelError;
use crate::load::LoadError;
use crate::loader::GeneratedLoader;
use crate::source::SourceError;
use crate::sysroot::BootDirError;

/// Why boot entries were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// A deployment has no kernel that could be booted.
    #[error("deployment {id} cannot be booted: {source}")]
    Kernel {
        /// The deployment.
        id: Box<DeploymentId>,
        /// What is wrong.
        #[source]
        source: Box<KernelError>,
    },
    /// A deployment does not say what it is called.
    #[error("deployment {id} has no PRETTY_NAME or ID in usr/lib/os-release or etc/os-release")]
    NoName {
        /// The deployment.
        id: Box<DeploymentId>,
    },
    /// The boot loader does not read entries itself.
    #[error(
        "the boot loader {0} does not read boot entries itself; generating its configuration is not \
         supported here (set sysroot.bootloader=none in the repository config if it does read them)"
    )]
    Loader(GeneratedLoader),
    /// The program that generates the boot loader's configuration failed.
    #[error("{program} did not write the configuration of the boot loader: {cause}")]
    Generator {
        /// The program.
        program: String,
        /// How it ended.
        cause: String,
    },
    /// The test of freezing `/boot` ends here.
    #[error("During fsfreeze-thaw: aborting due to test-fifreeze")]
    FreezeTest,
    /// The running deployment would not be among those that boot.
    #[error("deployment {0} is running: it cannot be removed")]
    RemovesRunning(Box<DeploymentId>),
    /// The system runs from a deployment that no boot entry leads to.
    #[error(
        "no boot entry leads to the running deployment; nothing is changed before that is repaired"
    )]
    RunningUnknown,
    /// What is active cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// `/boot` cannot be used.
    #[error(transparent)]
    BootDir(#[from] BootDirError),
    /// Something could not be read or written.
    #[error(transparent)]
    Io(#[from] SourceError),
}

impl From<durable::Error> for BootError {
    fn from(error: durable::Error) -> Self {
        Self::Io(error.into())
    }
}

impl Classified for BootError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Kernel { source, .. } => source.class(),
            Self::NoName { .. } | Self::RemovesRunning(_) => ErrorClass::InvalidInput,
            Self::Loader(_) => ErrorClass::Unsupported,
            Self::Generator { .. } | Self::FreezeTest => ErrorClass::Io,
            Self::RunningUnknown => ErrorClass::Corrupt,
            Self::Load(error) => error.class(),
            Self::BootDir(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
