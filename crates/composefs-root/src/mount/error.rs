use std::io;

use composefs_format::Digest;
use error_class::{Classified, ErrorClass};

/// Why a root, or something of it, is not mounted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// The image is not there.
    #[error(
        "there is no image {digest} in composefs/images of the root file system; boot another entry, or one with \
         composefs= and one of: {present}"
    )]
    NoImage {
        /// Its digest.
        digest: Box<Digest>,
        /// Those that are there.
        present: String,
    },
    /// The kernel does not verify it.
    #[error(
        "the kernel does not verify the image {digest}: {reason}. Where that need not be, say composefs=?DIGEST"
    )]
    Unverified {
        /// Its digest.
        digest: Box<Digest>,
        /// What it said.
        reason: String,
    },
    /// It is not what its name says.
    #[error("the image {expected} is damaged: its digest is {actual}; boot another entry")]
    Damaged {
        /// Its name.
        expected: Box<Digest>,
        /// What it has.
        actual: Box<Digest>,
    },
    /// The image of a deployment has to be verified by the kernel, and is not.
    #[error(
        "fs-verity is not enabled on the image of the deployment, which has to be signed; boot another entry"
    )]
    NotSealed,
    /// The image of a deployment is not the one that was signed.
    #[error(
        "the image of the deployment has the digest {actual}, and {signed} was signed: somebody changed it; boot another entry"
    )]
    OtherImage {
        /// The digest in the signed commit.
        signed: Box<Digest>,
        /// What the kernel verifies it by.
        actual: Box<Digest>,
    },
    /// The deployment has no state.
    #[error(
        "there is no state of the deployment {0} in state/deploy of the root file system; boot another entry"
    )]
    NoState(Box<Digest>),
    /// The kernel does not mount something.
    #[error("cannot {what}: {source}{explanation}")]
    Mount {
        /// What was tried.
        what: String,
        /// What it said.
        source: io::Error,
        /// What it said in words, with a colon in front.
        explanation: String,
    },
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for MountError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoImage { .. } | Self::NoState(_) => ErrorClass::NotFound,
            Self::Unverified { .. } => ErrorClass::Denied,
            Self::NotSealed => ErrorClass::Untrusted,
            Self::Damaged { .. } | Self::OtherImage { .. } => ErrorClass::Corrupt,
            Self::Mount { source, .. } => source.class(),
            Self::Io(error) => error.class(),
        }
    }
}
