//! Why a pull was not completed.

use error_class::{Classified, ErrorClass};
use ostree::{
    BindingError, DeltaApplyError, PullError, ReadError, RefError, SummaryError, WriteError,
};
use ostree_format::{Checksum, FormatError, ObjectName};
use progress::Interrupted;
use static_delta::{DeltaError, DeltaName};

use crate::http::Problem;
use crate::location::LocationError;
use crate::metalink::MetalinkError;
use crate::remote::RemoteError;
use crate::verify::Refused;

/// Why a pull was not completed. Refs have not moved then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something could not be fetched, also not after trying again.
    #[error("While fetching {url}: {problem}")]
    Fetch {
        /// From where.
        url: String,
        /// What went wrong the last time.
        #[source]
        problem: Problem,
    },
    /// An address cannot be used.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The remote's configuration does not allow to pull.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The metalink leads nowhere.
    #[error(transparent)]
    Metalink(#[from] MetalinkError),
    /// A list of mirrors has none that works.
    #[error("No valid mirrors were found in mirrorlist '{0}'")]
    NoMirrors(String),
    /// No ref was named, and the remote's configuration names none.
    #[error("No configured branches for remote {0}")]
    NoBranches(String),
    /// All refs were asked for, but nobody tells which there are.
    #[error(
        "Fetching all refs was requested in mirror mode, but remote repository does not have a summary"
    )]
    NoSummary,
    /// The summary's signatures are asked for, but there is no summary.
    #[error(
        "GPG verification enabled, but no summary found (use gpg-verify-summary=false in remote config to disable)"
    )]
    NoSignedSummary,
    /// A cached summary does not fit its signatures, and the caller wants no other.
    #[error("Remote {0} cached summary invalid and OSTREE_REPO_TEST_ERROR_INVALID_CACHE specified")]
    InvalidCache(String),
    /// The summary has no such ref.
    #[error("No such branch '{0}' in repository summary")]
    NoSuchRef(String),
    /// What stands where a ref should be is none.
    #[error("Fetching checksum for ref ((empty), {name}): Invalid rev {content}")]
    InvalidRev {
        /// The ref.
        name: String,
        /// What stands there, shortened and printable.
        content: String,
    },
    /// The remote is no archive.
    #[error("Can't pull from archives with mode \"{0}\"")]
    NotAnArchive(String),
    /// The remote's config is no key file.
    #[error("Parsing config: {0}")]
    Config(#[from] ostree_format::keyfile::KeyFileError),
    /// The object is not what its name says.
    #[error("Corrupted {} object; checksum expected='{}' actual='{actual}'", name.kind, name.checksum)]
    Corrupted {
        /// The object.
        name: ObjectName,
        /// What it hashes to.
        actual: Checksum,
    },
    /// The object has its name by right, but its form is not allowed.
    #[error("{name}: {source}")]
    Malformed {
        /// The object.
        name: ObjectName,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// A packed content object is not packed as it should be.
    #[error("Parsing {name}: {reason}")]
    BadContent {
        /// The object.
        name: ObjectName,
        /// What is wrong.
        reason: String,
    },
    /// A file has a mode that was not wanted.
    #[error("Content object {checksum}: invalid mode 0{mode:o} with bits 0{bits:o}")]
    FileMode {
        /// The object.
        checksum: Checksum,
        /// Its mode.
        mode: u32,
        /// The bits that are not allowed.
        bits: u32,
    },
    /// The commit belongs to something else.
    #[error("Commit {commit}: {source}")]
    Binding {
        /// The commit.
        commit: Checksum,
        /// What it belongs to.
        #[source]
        source: BindingError,
    },
    /// The commit is older than the one that is here.
    #[error(
        "Upgrade target revision '{new}' with timestamp '{new_time}' is chronologically older than \
         current revision '{current}' with timestamp '{current_time}'"
    )]
    Older {
        /// The commit.
        new: Checksum,
        /// When it was made.
        new_time: String,
        /// The commit that is here.
        current: Checksum,
        /// When that was made.
        current_time: String,
    },
    /// Directories are nested too deeply.
    #[error("the tree is nested too deeply at dirtree {0}")]
    TooDeep(Checksum),
    /// A signature is missing, wrong, or not trusted.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Static deltas were required, and there are none.
    #[error("Static deltas required, but none found for {from} to {to}")]
    NoDelta {
        /// The ref or commit to start from; may be empty.
        from: String,
        /// The commit to arrive at.
        to: Checksum,
    },
    /// Static deltas were required of a remote that has none at all.
    #[error(
        "Fetch configured to require static deltas, but no summary deltas or delta index found"
    )]
    NoDeltas,
    /// A superblock is not the one that was announced.
    #[error("Invalid checksum for static delta {0}")]
    DeltaDigest(DeltaName),
    /// The signed summary does not vouch for a superblock.
    #[error(
        "GPG verification enabled, but no summary signatures found for static delta {0} (use \
         gpg-verify-summary=false in remote config to disable)"
    )]
    DeltaUnsigned(DeltaName),
    /// A static delta is damaged.
    #[error(transparent)]
    Delta(#[from] DeltaError),
    /// A static delta cannot be applied.
    #[error(transparent)]
    DeltaApply(#[from] DeltaApplyError),
    /// Static deltas cannot be applied to archives.
    #[error("Can't use static deltas in an archive repo")]
    DeltasIntoArchive,
    /// A dry run tells what deltas would cost, and nothing else.
    #[error("--dry-run requires --require-static-deltas")]
    DryRun,
    /// The summary is damaged.
    #[error(transparent)]
    Summary(#[from] SummaryError),
    /// An object that is here cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A ref cannot be used.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// A repository on this machine cannot be opened.
    #[error(transparent)]
    Open(#[from] ostree::OpenError),
    /// An object cannot be brought over from a repository on this machine.
    #[error(transparent)]
    Import(#[from] PullError),
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

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Fetch { problem, .. } => problem.class(),
            Self::Location(error) => error.class(),
            Self::Remote(error) => error.class(),
            Self::Metalink(error) => error.class(),
            Self::NoMirrors(_) => ErrorClass::Network,
            Self::NoSignedSummary => ErrorClass::Untrusted,
            Self::InvalidCache(_) => ErrorClass::Corrupt,
            Self::NoBranches(_) | Self::DeltasIntoArchive | Self::DryRun => {
                ErrorClass::InvalidInput
            }
            Self::NoSummary | Self::NoSuchRef(_) | Self::NoDelta { .. } | Self::NoDeltas => {
                ErrorClass::NotFound
            }
            Self::NotAnArchive(_) => ErrorClass::Unsupported,
            Self::DeltaDigest(_) => ErrorClass::Corrupt,
            Self::DeltaUnsigned(_) => ErrorClass::Untrusted,
            Self::Delta(error) => error.class(),
            Self::DeltaApply(error) => error.class(),
            Self::InvalidRev { .. }
            | Self::Config(_)
            | Self::Corrupted { .. }
            | Self::Malformed { .. }
            | Self::BadContent { .. }
            | Self::TooDeep(_) => ErrorClass::Corrupt,
            Self::FileMode { .. } => ErrorClass::InvalidInput,
            Self::Binding { .. } | Self::Older { .. } => ErrorClass::Untrusted,
            Self::Refused(error) => error.class(),
            Self::Summary(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Open(error) => error.class(),
            Self::Import(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}
