use error_class::{Classified, ErrorClass};
use ostree::RemoteError;
use signature::gpg::KeyringError;
use signature::{KeyError, Scheme};

/// The keys or the policy of a remote cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is no such remote, or its keyring could not be written.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// An option of the remote cannot be understood.
    #[error("{key}={value:?} of remote {remote:?} is not {expected}")]
    Option {
        /// The remote.
        remote: String,
        /// The option.
        key: String,
        /// Its value.
        value: String,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A list uses both separators.
    #[error(
        "{key} of remote {remote:?}: key value list contains more than one separator (; and ,)"
    )]
    Separators {
        /// The remote.
        remote: String,
        /// The option.
        key: String,
    },
    /// A kind of signature that does not exist.
    #[error("Requested signature type is not implemented: {name:?}")]
    UnknownScheme {
        /// Its name.
        name: String,
    },
    /// The dummy kind proves nothing and was not allowed.
    #[error("dummy signature type is only for ostree testing")]
    DummyNotAllowed,
    /// A kind of signature is asked for, but the remote has no keys of that kind.
    #[error(
        "No keys found for required signapi type {scheme}: set verification-{scheme}-key or verification-{scheme}-file of remote {remote:?}"
    )]
    NoKeys {
        /// The remote.
        remote: String,
        /// The kind.
        scheme: Scheme,
    },
    /// A keyring is damaged or something else.
    #[error("cannot use keyring {path}: {source}")]
    Keyring {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        source: KeyringError,
    },
    /// Keys that were asked for cannot be taken over.
    #[error(transparent)]
    Import(KeyringError),
    /// A key file is damaged or something else.
    #[error("cannot use key file {path}: {source}")]
    KeyFile {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The key in an option is none.
    #[error("cannot use {key} of remote {remote:?}: {source}")]
    InlineKey {
        /// The remote.
        remote: String,
        /// The option.
        key: String,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A key file is no text.
    #[error("cannot use key file {path}: it is not text")]
    NotText {
        /// Where it is.
        path: String,
    },
    /// Keys or keyrings cannot be read or written.
    #[error("cannot {} keys ({path}): {}", source.verb, source.source)]
    Io {
        /// The path as it was given.
        path: String,
        /// What the system said.
        source: durable::Error,
    },
}

impl Classified for TrustError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Remote(error) => error.class(),
            Self::Option { .. } | Self::Separators { .. } => ErrorClass::InvalidInput,
            Self::UnknownScheme { .. } | Self::DummyNotAllowed => ErrorClass::Unsupported,
            Self::NoKeys { .. } => ErrorClass::Untrusted,
            Self::Keyring { source, .. } | Self::Import(source) => source.class(),
            Self::KeyFile { source, .. } | Self::InlineKey { source, .. } => source.class(),
            Self::NotText { .. } => ErrorClass::InvalidInput,
            Self::Io { source, .. } => source.class(),
        }
    }
}
