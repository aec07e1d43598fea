use std::fmt;

use boot_format::{BlsEntry, BootChecksum, KernelArgs};
use serde::Serialize;

use crate::{DeploymentId, Origin};

/// A deployment that a boot entry leads to.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// What it is called.
    pub id: DeploymentId,
    /// Its kernel.
    pub boot_checksum: BootChecksum,
    /// Its number among those with the same kernel.
    pub boot_serial: u32,
    /// Its boot entry.
    pub entry: BlsEntry,
    /// The name of the entry's file; `None` while there is none.
    pub entry_file: Option<String>,
    /// Its origin file; `None` when there is none or it cannot be read (see `problems`).
    pub origin: Option<Origin>,
    /// Whether it was made writable.
    pub unlocked: Unlocked,
    /// What is wrong with it, although it can be found.
    pub problems: Vec<Problem>,
}

/// Whether a deployment was made writable, and until when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unlocked {
    /// Read-only, as it should be.
    #[default]
    None,
    /// An overlay that goes with the next boot (`ostree admin unlock`).
    Development,
    /// An overlay that can be switched on later (`ostree admin unlock --transient`).
    Transient,
    /// An overlay that stays (`ostree admin unlock --hotfix`).
    Hotfix,
}

/// Something that is wrong with a deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "kebab-case", tag = "problem")]
#[non_exhaustive]
pub enum Problem {
    /// The origin file cannot be read.
    #[error("its origin file cannot be read: {cause}")]
    Origin {
        /// Why.
        cause: String,
    },
    /// A file that the boot entry names is missing or empty in `/boot`.
    #[error("{path}, which its boot entry names, is missing: it cannot boot")]
    MissingBootFile {
        /// The path, relative to `/boot`.
        path: String,
    },
    /// It is staged, and should have been completed at an earlier shutdown.
    #[error("no shutdown has completed it: the power went, or completing it failed")]
    MissedFinalization,
    /// The commit is not in the repository.
    #[error("its commit is not in the repository: it boots, but cannot be checked or copied")]
    MissingCommit,
}

/// Two are the same when they are called the same.
impl PartialEq for Deployment {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Deployment {
    /// Its kernel arguments.
    #[must_use]
    pub fn kernel_args(&self) -> KernelArgs {
        self.entry.kernel_args()
    }

    /// Whether something that its boot entry names is not in `/boot`.
    pub(crate) fn lacks_boot_files(&self) -> bool {
        let missing = |problem: &Problem| matches!(problem, Problem::MissingBootFile { .. });
        self.problems.iter().any(missing)
    }

    /// Whether clean-ups keep it.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.origin.as_ref().is_some_and(Origin::is_pinned)
    }
}

impl fmt::Display for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Development => "development",
            Self::Transient => "transient",
            Self::Hotfix => "hotfix",
        })
    }
}
