//! What a repository's configuration says of a remote. Source: `ostree.repo-config(5)`.

use ca_roots::CaRootsError;
use error_class::{Classified, ErrorClass};
use ostree::Repo;

/// A remote to pull from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    inner: ostree::Remote,
    /// Whose refs its refs become; `None` for a repository on this machine that is named by its address.
    refs_of: Option<String>,
}

/// The remote's configuration does not allow to pull.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// There is no such remote.
    #[error("Remote \"{0}\" not found")]
    NotFound(String),
    /// It has no address.
    #[error("No \"url\" option in remote \"{0}\"")]
    NoUrl(String),
    /// Its owner says why one cannot pull from it.
    #[error("remote unconfigured-state: {0}")]
    Unconfigured(String),
    /// It is somebody else's.
    #[error("Cannot fetch via libostree - remote '{remote}' uses custom backend '{backend}'")]
    CustomBackend {
        /// The remote.
        remote: String,
        /// The other program.
        backend: String,
    },
    /// An option has no usable value.
    #[error("{key}={value:?} of remote \"{remote}\" is neither true nor false")]
    Flag {
        /// The remote.
        remote: String,
        /// The option.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A certificate without a key, or the other way round.
    #[error(
        "Remote \"{0}\" must specify both \"tls-client-cert-path\" and \"tls-client-key-path\""
    )]
    HalfACertificate(String),
    /// A file is missing or holds no key or certificate.
    #[error("{0} is missing, or holds no key or certificate in PEM form")]
    Pem(String),
    /// The proxy cannot be used.
    #[error("{0:?} is not the address of a proxy")]
    Proxy(String),
    /// The authorities cannot be used.
    #[error(transparent)]
    Roots(#[from] CaRootsError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for RemoteError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) | Self::NoUrl(_) => ErrorClass::NotFound,
            Self::Unconfigured(_) => ErrorClass::Denied,
            Self::CustomBackend { .. } => ErrorClass::Unsupported,
            Self::Flag { .. } | Self::HalfACertificate(_) | Self::Pem(_) | Self::Proxy(_) => {
                ErrorClass::InvalidInput
            }
            Self::Roots(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Remote {
    /// The remote called `name`; a `file://` address is a remote without name, whose refs become those of
    /// the repository itself.
    ///
    /// # Errors
    /// When there is no such remote, or its configuration cannot be used.
    pub fn find(repo: &Repo, name: &str) -> Result<Self, RemoteError> {
        if name.starts_with("file://") {
            let options = vec![("url".to_owned(), name.to_owned())];
            let name = name.to_owned();
            let inner = ostree::Remote { name, options };
            return Ok(Self {
                inner,
                refs_of: None,
            });
        }
        let found = repo.remote(name);
        let inner = found.ok_or_else(|| RemoteError::NotFound(name.to_owned()))?;
        let refs_of = Some(name.to_owned());
        Ok(Self { inner, refs_of })
    }

    /// Let its refs become those of the remote `name`.
    #[must_use]
    pub fn in_place_of(mut self, name: &str) -> Self {
        self.refs_of = Some(name.to_owned());
        self
    }

    /// Its name; the address of one without name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Whose refs those of the remote become; `None` when they are the repository's own.
    #[must_use]
    pub fn refs_of(&self) -> Option<String> {
        self.refs_of.clone()
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.inner.get(key)
    }

    /// An option that is true or false.
    pub(crate) fn flag(&self, key: &'static str) -> Result<Option<bool>, RemoteError> {
        match self.get(key).map(str::trim) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(value) => Err(RemoteError::Flag {
                remote: self.name().to_owned(),
                key,
                value: value.to_owned(),
            }),
        }
    }

    /// An option that is a list separated by semicolons.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        let items = self.get(key).unwrap_or_default().split(';');
        let items = items.map(str::trim).filter(|item| !item.is_empty());
        items.map(ToOwned::to_owned).collect()
    }

    /// The collection that its refs belong to.
    pub(crate) fn collection(&self) -> Option<&str> {
        self.get("collection-id").filter(|id| !id.is_empty())
    }

    pub(crate) fn url(&self) -> Result<&str, RemoteError> {
        self.get("url")
            .ok_or_else(|| RemoteError::NoUrl(self.name().to_owned()))
    }

    /// Whether one may pull from it at all.
    pub(crate) fn check_usable(&self) -> Result<(), RemoteError> {
        if let Some(reason) = self.get("unconfigured-state") {
            return Err(RemoteError::Unconfigured(reason.to_owned()));
        }
        if let Some(backend) = self.get("custom-backend") {
            return Err(RemoteError::CustomBackend {
                remote: self.name().to_owned(),
                backend: backend.to_owned(),
            });
        }
        Ok(())
    }
}
