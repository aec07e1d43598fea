use error_class::{Classified, ErrorClass};

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
    /// The name of an image would lead elsewhere.
    #[error("{name:?} cannot name an image: it must be one component of a path")]
    Name {
        /// The name.
        name: String,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Meta(_) => ErrorClass::Corrupt,
            Self::Foreign { .. } => ErrorClass::Unsupported,
            Self::Name { .. } => ErrorClass::InvalidInput,
            Self::Io(error) => error.class(),
        }
    }
}
