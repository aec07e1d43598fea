//! Whether the commit in an image is signed with the keys of an OSTree remote.

use error_class::{Classified, ErrorClass};
use oci::reference::OstreeImageReference;
use ostree::{ReadError, Repo};
use ostree_format::{Checksum, Metadata};
use trust::{KeyStores, RemoteTrust, TrustError, Untrusted, commit_bytes};

use crate::{Access, AccessError};

/// Where the administrator keeps the keyrings of remotes.
const REMOTES: &str = "etc/ostree/remotes.d";

/// Why the commit in an image is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteSignatureError {
    /// There is no commit that could be signed.
    #[error("{0} must hold a commit that is signed for its remote, but it wraps none")]
    NoCommit(Box<OstreeImageReference>),
    /// The remote asks for nothing.
    #[error(
        "{image} must be signed, but remote {remote} asks for no signatures: set gpg-verify or sign-verify"
    )]
    NothingAsked {
        /// The image.
        image: Box<OstreeImageReference>,
        /// The remote.
        remote: String,
    },
    /// The commit is not signed as the remote asks.
    #[error("{image} is not signed as remote {remote} asks: {cause}")]
    Untrusted {
        /// The image.
        image: Box<OstreeImageReference>,
        /// The remote.
        remote: String,
        /// Why.
        cause: Box<Untrusted>,
    },
    /// There is no such remote, or its keys cannot be used.
    #[error(transparent)]
    Trust(#[from] Box<TrustError>),
    /// The commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The root directory cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
}

impl Classified for RemoteSignatureError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoCommit(_) | Self::NothingAsked { .. } | Self::Untrusted { .. } => {
                ErrorClass::Untrusted
            }
            Self::Trust(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Access(error) => error.class(),
        }
    }
}

/// The keys of the remote that an image must be signed with.
pub(crate) struct RemoteSignature<'a> {
    image: &'a OstreeImageReference,
    remote: &'a str,
    trust: RemoteTrust,
}

impl<'a> RemoteSignature<'a> {
    /// Before anything is fetched: the remote must be there and ask for something.
    pub(crate) fn of(
        repo: &Repo,
        image: &'a OstreeImageReference,
        remote: &'a str,
        access: &Access,
    ) -> Result<Self, RemoteSignatureError> {
        let root = access.root.try_clone().map_err(AccessError::Descriptor)?;
        let stores = KeyStores::new(root).with_remotes(REMOTES);
        let trust = RemoteTrust::of(repo, remote, &stores).map_err(Box::new)?;
        if !trust.policy().verifies_commits() {
            return Err(RemoteSignatureError::NothingAsked {
                image: Box::new(image.clone()),
                remote: remote.to_owned(),
            });
        }
        Ok(Self {
            image,
            remote,
            trust,
        })
    }

    /// Verifies the commit that the image wraps.
    pub(crate) fn verify(
        &self,
        repo: &Repo,
        commit: Option<&Checksum>,
        now: u64,
    ) -> Result<(), RemoteSignatureError> {
        let image = || Box::new(self.image.clone());
        let commit = commit.ok_or_else(|| RemoteSignatureError::NoCommit(image()))?;
        let bytes = commit_bytes(repo, commit)?;
        let detached = repo.load_detached_metadata(commit)?;
        let detached = detached.as_ref().map(Metadata::to_bytes);
        let verdict = self
            .trust
            .verify_commit(commit, &bytes, detached.as_deref(), now);
        verdict
            .map(drop)
            .map_err(|cause| RemoteSignatureError::Untrusted {
                image: image(),
                remote: self.remote.to_owned(),
                cause: Box::new(cause),
            })
    }
}
