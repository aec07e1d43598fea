use boot_format::InvalidBootLink;

use crate::deployment_id::InvalidDeploymentName;
use crate::stateroot::InvalidStateroot;

/// A boot entry that leads to no deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedEntry {
    /// The entry's file, in `boot/loader/entries`.
    pub file: String,
    /// What is wrong.
    pub damage: Damage,
}

/// Why a boot entry leads to no deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The entry, or something on the way, cannot be read.
    #[error("it cannot be read: {cause}")]
    Unreadable {
        /// Why.
        cause: String,
    },
    /// The entry has no `ostree=` argument.
    #[error("it has no ostree= kernel argument")]
    NoArgument,
    /// The argument has another form.
    #[error(transparent)]
    Argument(InvalidBootLink),
    /// The stateroot in the argument cannot be one.
    #[error(transparent)]
    Stateroot(InvalidStateroot),
    /// There is no such boot link.
    #[error("its boot link {path} does not exist")]
    NoLink {
        /// The path of the link.
        path: String,
    },
    /// The boot link leads to something that is not called as deployments are.
    #[error("its boot link leads astray: {0}")]
    Target(InvalidDeploymentName),
    /// The deployment's directory does not exist.
    #[error("its deployment {path} does not exist")]
    NoDeployment {
        /// The path of the directory.
        path: String,
    },
}
