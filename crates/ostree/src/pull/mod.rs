//! Pulling from another repository on this machine.

mod import;
mod local;

pub use import::Importer;

use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, ObjectName};
use progress::Interrupted;

use crate::{BindingError, Depth, ReadError, RefError, WriteError};

/// Choices of [`crate::Repo::pull_local`].
#[derive(Debug, Clone)]
pub struct PullLocalOptions {
    /// How many ancestors of each commit come with it.
    pub depth: Depth,
    /// Only commit objects; the commits are marked as partial.
    pub commit_only: bool,
    /// Hash every object, also those that could be linked (`--untrusted`). Otherwise only what has to be
    /// written anew is, and an object that is damaged in the source is damaged here.
    pub untrusted: bool,
    /// Whose refs they become: of this remote, or (`None`) of the repository itself.
    pub remote: Option<String>,
    /// Refuse commits that say that they belong to other refs than the one that was asked for.
    pub verify_bindings: bool,
    /// Refuse files with a mode that bare-user-only repositories cannot hold.
    pub user_only_files: bool,
    /// How many threads to use; as many as the machine runs at once when `None`.
    pub threads: Option<std::num::NonZeroUsize>,
}

impl Default for PullLocalOptions {
    fn default() -> Self {
        Self {
            depth: Depth::Ancestors(0),
            commit_only: false,
            untrusted: false,
            remote: None,
            verify_bindings: true,
            user_only_files: false,
            threads: None,
        }
    }
}

/// What a pull did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullStats {
    /// Metadata objects that were new.
    pub metadata: u64,
    /// Content objects that were new.
    pub content: u64,
    /// Bytes of content that were written; linked objects cost none.
    pub content_bytes: u64,
}

/// Why a pull was not completed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The source lacks an object, or it is damaged.
    #[error("cannot pull from the source repository: {0}")]
    Read(#[from] ReadError),
    /// A ref of the source cannot be used.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// An object of the source is not what its name says.
    #[error(
        "Corrupted {} object; checksum expected='{}' actual='{actual}'",
        name.kind,
        name.checksum
    )]
    Damaged {
        /// The object.
        name: ObjectName,
        /// What it hashes to.
        actual: Checksum,
    },
    /// The commit belongs to other refs.
    #[error("Commit {commit}: {source}")]
    NotBound {
        /// The commit.
        commit: Checksum,
        /// What it says.
        source: BindingError,
    },
    /// A file has a mode that was not wanted.
    #[error(
        "Content object {checksum}: invalid mode {mode:05o} with bits {:05o}: bare-user-only repositories \
         cannot hold them",
        mode & 0o7777 & !0o775
    )]
    Mode {
        /// The object.
        checksum: Checksum,
        /// Its mode.
        mode: u32,
    },
    /// An object could not be written here.
    #[error("cannot import {name}: {source}")]
    Import {
        /// The object.
        name: ObjectName,
        /// Why.
        #[source]
        source: Box<WriteError>,
    },
    /// The transaction failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for PullError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::NotBound { .. } => ErrorClass::Untrusted,
            Self::Mode { .. } => ErrorClass::Unsupported,
            Self::Import { source, .. } => source.class(),
            Self::Write(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
