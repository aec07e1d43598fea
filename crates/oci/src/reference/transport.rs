//! The ways an image can be stored.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};

/// A way to store and fetch images; the word before the first colon of an [`ImageReference`].
///
/// [`ImageReference`]: super::ImageReference
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// A registry over the network (`registry:` or `docker://`).
    Registry,
    /// An OCI image layout directory (`oci:`).
    OciDir,
    /// An OCI image layout in a tar archive (`oci-archive:`).
    OciArchive,
    /// What `docker save` writes (`docker-archive:`).
    DockerArchive,
    /// The storage of podman and its relatives (`containers-storage:`).
    ContainersStorage,
    /// Manifest and blobs as plain files in one directory (`dir:`).
    LocalDir,
    /// A running Docker daemon (`docker-daemon:`).
    DockerDaemon,
}

impl Transport {
    /// Every transport, in the order of their documentation.
    pub const ALL: [Self; 7] = [
        Self::Registry,
        Self::OciDir,
        Self::OciArchive,
        Self::DockerArchive,
        Self::ContainersStorage,
        Self::LocalDir,
        Self::DockerDaemon,
    ];

    /// The word for this transport: `registry`, `oci`, `oci-archive`, ...
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::OciDir => "oci",
            Self::OciArchive => "oci-archive",
            Self::DockerArchive => "docker-archive",
            Self::ContainersStorage => "containers-storage",
            Self::LocalDir => "dir",
            Self::DockerDaemon => "docker-daemon",
        }
    }

    /// What stands before the name in the canonical spelling of a reference: `docker://` for
    /// registries, otherwise the word and a colon.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Registry => "docker://",
            Self::OciDir => "oci:",
            Self::OciArchive => "oci-archive:",
            Self::DockerArchive => "docker-archive:",
            Self::ContainersStorage => "containers-storage:",
            Self::LocalDir => "dir:",
            Self::DockerDaemon => "docker-daemon:",
        }
    }
}

/// Prints [`Transport::prefix`].
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.prefix())
    }
}

/// Accepts the bare word ([`Transport::name`], or `docker`) and the prefix.
impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "docker" || text == "registry:" {
            return Ok(Self::Registry);
        }
        Self::ALL
            .into_iter()
            .find(|transport| text == transport.name() || text == transport.prefix())
            .ok_or_else(|| UnknownTransport(text.to_owned()))
    }
}

/// The text does not name a transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown transport {0:?}: known are registry, oci, oci-archive, docker-archive, \
     containers-storage, dir and docker-daemon"
)]
pub struct UnknownTransport(pub String);

impl Classified for UnknownTransport {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}
