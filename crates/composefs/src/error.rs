use composefs_format::{ReadImageError, StreamError};
use error_class::{Classified, ErrorClass};
use progress::Interrupted;

/// Why a repository of composefs cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// `meta.json` is damaged.
    #[error("meta.json of the composefs repository cannot be read: {0}")]
    Meta(#[source] serde_json::Error),
    /// It has something that this program does not know.
    #[error("the composefs repository has {what}, which this program cannot write to")]
    Foreign {
        /// What it has.
        what: String,
    },
    /// A name would lead elsewhere.
    #[error("{name:?} cannot name anything in a composefs repository: it would lead elsewhere")]
    Name {
        /// The name.
        name: String,
    },
    /// A link in `images/` or `streams/` is something else.
    #[error("{path} in the composefs repository is no link to an object; run fsck")]
    Link {
        /// Where.
        path: String,
    },
    /// An object has not the content that its name says.
    #[error(
        "object {digest} in the composefs repository is damaged; fsck --repair may have a copy"
    )]
    Damaged {
        /// Which.
        digest: String,
    },
    /// An object that is needed is not there.
    #[error(
        "object {digest} is missing in the composefs repository; fsck --repair may have a copy"
    )]
    Missing {
        /// Which.
        digest: String,
    },
    /// A stream cannot be read.
    #[error("stream {digest}: {source}")]
    Stream {
        /// Its digest.
        digest: String,
        /// Why.
        source: StreamError,
    },
    /// An image cannot be read.
    #[error("image {digest}: {source}")]
    Image {
        /// Its digest.
        digest: String,
        /// Why.
        source: ReadImageError,
    },
    /// Every object has to be verified by the kernel.
    #[error(
        "the composefs repository demands fs-verity of every object, which this file system or kernel does not have"
    )]
    NoVerity,
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// Somebody else works there.
    #[error("the composefs repository is in use by another process; try again later")]
    Locked,
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Meta(_) => ErrorClass::Corrupt,
            Self::Foreign { .. } | Self::NoVerity => ErrorClass::Unsupported,
            Self::Interrupted(error) => error.class(),
            Self::Name { .. } => ErrorClass::InvalidInput,
            Self::Link { .. } | Self::Damaged { .. } | Self::Missing { .. } => ErrorClass::Corrupt,
            Self::Stream { source, .. } => source.class(),
            Self::Image { source, .. } => source.class(),
            Self::Locked => ErrorClass::Locked,
            Self::Io(error) => error.class(),
        }
    }
}
