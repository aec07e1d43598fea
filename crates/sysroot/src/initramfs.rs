//! What an initramfs asks of a sysroot: which deployment is to be booted, and what the system that comes is to know of
//! its root.

use std::os::fd::BorrowedFd;
use std::path::Path;

use boot_format::{BootLink, InvalidBootLink};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};

use crate::next_root::describe;
use crate::running::BOOTED;
use crate::{
    DeploymentId, InvalidDeploymentName, InvalidStateroot, RootConfig, StaterootName, dir,
};

/// Why the kernel argument `ostree=` leads to no deployment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootArgumentError {
    /// It does not look like one.
    #[error(transparent)]
    Argument(#[from] InvalidBootLink),
    /// There is no such link.
    #[error("there is no deployment {link} on the root file system; boot another entry")]
    Missing {
        /// What the argument says.
        link: String,
    },
    /// The link is another one than those that lead to deployments.
    #[error("{link} leads to {target:?}, which is no deployment; boot another entry")]
    Target {
        /// What the argument says.
        link: String,
        /// Where it leads.
        target: String,
    },
    /// The name of the deployment cannot be one.
    #[error(transparent)]
    Name(#[from] InvalidDeploymentName),
    /// The name of the stateroot cannot be one.
    #[error(transparent)]
    Stateroot(#[from] InvalidStateroot),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for BootArgumentError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Argument(error) => error.class(),
            Self::Missing { .. } => ErrorClass::NotFound,
            Self::Target { .. } | Self::Name(_) | Self::Stateroot(_) => ErrorClass::Corrupt,
            Self::Io(error) => error.class(),
        }
    }
}

/// The deployment that the value of the kernel argument `ostree=` names.
///
/// # Errors
/// [`BootArgumentError`].
pub fn deployment_of_argument(
    physical: BorrowedFd<'_>,
    value: &str,
) -> Result<DeploymentId, BootArgumentError> {
    let link: BootLink = value.parse()?;
    let found = dir::read_link_optional(physical, link.path())?;
    let found = found.ok_or_else(|| BootArgumentError::Missing {
        link: link.to_string(),
    })?;
    let stateroot: StaterootName = link.stateroot.parse()?;
    let inside = Path::new("../../../deploy")
        .join(stateroot.as_str())
        .join("deploy");
    let name = found.strip_prefix(&inside).ok().and_then(Path::to_str);
    let name = name.ok_or_else(|| BootArgumentError::Target {
        link: link.to_string(),
        target: found.to_string_lossy().into_owned(),
    })?;
    Ok(DeploymentId::from_directory(stateroot, name)?)
}

/// Tell the system that comes which deployment its root is, and how it was mounted: the directory of the deployment,
/// where a transient `/etc` is written to, and the file whose keys have signed the root.
///
/// Source: what `ostree-prepare-root` of libostree 2026.4 writes to `/run/ostree-booted`.
///
/// # Errors
/// What the system said.
pub fn note_boot(
    run: BorrowedFd<'_>,
    deployment: BorrowedFd<'_>,
    config: &RootConfig,
    etc: Option<&str>,
    signed_by: Option<&str>,
) -> Result<(), durable::Error> {
    let stat = rustix::fs::fstat(deployment).during("look at", "the deployment")?;
    let etc = etc.map(ToOwned::to_owned);
    let mut noted = describe((stat.st_dev, stat.st_ino), config, etc);
    if let Some(keys) = signed_by {
        noted.insert("composefs.signature", keys);
    }
    durable::publish_no_sync(run, Path::new(BOOTED), &noted.to_bytes(), 0o644)
}
