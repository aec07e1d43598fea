//! A transport and a name.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};
use serde::{Deserialize, Serialize};

use super::{
    PathReference, RegistryReference, RegistryReferenceError, Transport, UnknownTransport,
};

/// Where an image is: the transport, and its name in that transport's own syntax.
///
/// | transport | name |
/// |---|---|
/// | registry | `[host[:port]/]repository[:tag][@digest]` |
/// | oci, oci-archive | `path[:tag]`, `path@digest` |
/// | docker-archive | `path[:reference]` |
/// | containers-storage | `[[storage]]reference-or-id` |
/// | dir | `path` |
/// | docker-daemon | `reference-or-id` |
///
/// The name is kept as it was written. `docker://NAME` and `registry:NAME` are the same reference;
/// the former is the canonical spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    /// The way the image is stored.
    pub transport: Transport,
    /// The name, in the syntax of the transport; never empty when parsed.
    pub name: String,
}

impl ImageReference {
    /// A reference from its two parts, which are not checked against each other.
    pub fn new(transport: Transport, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { transport, name }
    }

    /// The parsed registry name, when the transport is a registry.
    ///
    /// # Errors
    /// The name is not a valid registry reference.
    pub fn as_registry(&self) -> Option<Result<RegistryReference, RegistryReferenceError>> {
        (self.transport == Transport::Registry).then(|| self.name.parse())
    }

    /// The path and what is selected there, when the transport is a file or directory.
    #[must_use]
    pub fn as_path(&self) -> Option<PathReference> {
        match self.transport {
            Transport::OciDir | Transport::OciArchive | Transport::DockerArchive => {
                Some(PathReference::parse(&self.name))
            }
            Transport::LocalDir => Some(PathReference::whole(&self.name)),
            _ => None,
        }
    }

    /// The same image, pinned to a manifest digest in place of its tag, where the transport has a
    /// way to say that.
    #[must_use]
    pub fn pinned(&self, digest: &crate::digest::Digest) -> Option<Self> {
        let name = match self.transport {
            Transport::Registry => {
                let name: RegistryReference = self.name.parse().ok()?;
                name.pinned(digest).to_string()
            }
            Transport::OciDir | Transport::OciArchive => {
                format!("{}@{digest}", PathReference::parse(&self.name).path)
            }
            _ => return None,
        };
        Some(Self::new(self.transport, name))
    }
}

/// Prints the canonical spelling, `docker://NAME` for registries.
impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.transport, self.name)
    }
}

impl FromStr for ImageReference {
    type Err = ImageReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, rest) = text
            .split_once(':')
            .ok_or_else(|| ImageReferenceError::NoTransport(text.to_owned()))?;
        let transport = word.parse()?;
        let name = match word {
            "docker" => rest
                .strip_prefix("//")
                .ok_or_else(|| ImageReferenceError::NoSlashes(text.to_owned()))?,
            _ => rest,
        };
        if name.is_empty() {
            return Err(ImageReferenceError::EmptyName(text.to_owned()));
        }
        Ok(Self::new(transport, name))
    }
}

impl TryFrom<String> for ImageReference {
    type Error = ImageReferenceError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> Self {
        reference.to_string()
    }
}

/// The text is not an [`ImageReference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageReferenceError {
    /// There is no colon.
    #[error("image reference {0:?} has no transport: write registry:{0}, oci:{0} or the like")]
    NoTransport(String),
    /// The word before the colon is not a transport.
    #[error(transparent)]
    UnknownTransport(#[from] UnknownTransport),
    /// `docker:` without the two slashes.
    #[error("image reference {0:?} lacks the slashes of docker://")]
    NoSlashes(String),
    /// Nothing follows the transport.
    #[error("image reference {0:?} has an empty name")]
    EmptyName(String),
}

impl Classified for ImageReferenceError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What containers-image-proxy 0.11 and ostree-ext 0.15.3 accept, and how they print it.
    const VALID: &[(&str, Transport, &str, &str)] = &[
        ("oci:somedir", Transport::OciDir, "somedir", "oci:somedir"),
        ("dir:/a/dir", Transport::LocalDir, "/a/dir", "dir:/a/dir"),
        (
            "oci-archive:/path/foo.ociarchive",
            Transport::OciArchive,
            "/path/foo.ociarchive",
            "oci-archive:/path/foo.ociarchive",
        ),
        (
            "docker-archive:/path/foo.tar:a/b:c",
            Transport::DockerArchive,
            "/path/foo.tar:a/b:c",
            "docker-archive:/path/foo.tar:a/b:c",
        ),
        (
            "containers-storage:localhost/someimage:blah",
            Transport::ContainersStorage,
            "localhost/someimage:blah",
            "containers-storage:localhost/someimage:blah",
        ),
        (
            "docker-daemon:myimage:latest",
            Transport::DockerDaemon,
            "myimage:latest",
            "docker-daemon:myimage:latest",
        ),
        (
            "docker://quay.io/exampleos/blah:tag",
            Transport::Registry,
            "quay.io/exampleos/blah:tag",
            "docker://quay.io/exampleos/blah:tag",
        ),
        (
            "registry:localhost:5000/exampleos/blah",
            Transport::Registry,
            "localhost:5000/exampleos/blah",
            "docker://localhost:5000/exampleos/blah",
        ),
    ];

    #[test]
    fn valid_references_parse_and_print_canonically() {
        for &(text, transport, name, canonical) in VALID {
            let parsed: ImageReference = text.parse().unwrap();
            assert_eq!(parsed.transport, transport, "{text}");
            assert_eq!(parsed.name, name, "{text}");
            assert_eq!(parsed.to_string(), canonical, "{text}");
            assert_eq!(canonical.parse::<ImageReference>().unwrap(), parsed);
        }
    }

    #[test]
    fn invalid_references_are_refused_with_their_reason() {
        use ImageReferenceError as E;
        let unknown = |word: &str| E::UnknownTransport(UnknownTransport(word.to_owned()));
        for (text, expected) in [
            ("", E::NoTransport(String::new())),
            ("nocolon", E::NoTransport("nocolon".to_owned())),
            ("foo://bar", unknown("foo")),
            ("foo:bar", unknown("foo")),
            (":bar", unknown("")),
            ("Oci:bar", unknown("Oci")),
            ("example.com:8080/image", unknown("example.com")),
            ("docker:blah", E::NoSlashes("docker:blah".to_owned())),
            ("docker://", E::EmptyName("docker://".to_owned())),
            ("registry:", E::EmptyName("registry:".to_owned())),
            ("oci:", E::EmptyName("oci:".to_owned())),
        ] {
            assert_eq!(text.parse::<ImageReference>().unwrap_err(), expected);
        }
    }

    #[test]
    fn transports_parse_as_words_and_as_prefixes() {
        for transport in Transport::ALL {
            assert_eq!(transport.name().parse(), Ok(transport));
            assert_eq!(transport.prefix().parse(), Ok(transport));
        }
        assert_eq!("docker".parse(), Ok(Transport::Registry));
        assert_eq!("registry:".parse(), Ok(Transport::Registry));
        for bad in ["", ":", "docker:", "oci::", "ftp", "oci:/x"] {
            assert!(bad.parse::<Transport>().is_err(), "{bad}");
        }
    }

    #[test]
    fn serde_uses_the_canonical_text() {
        let reference: ImageReference = serde_json::from_str(r#""registry:quay.io/a/b""#).unwrap();
        let json = serde_json::to_string(&reference).unwrap();
        assert_eq!(json, r#""docker://quay.io/a/b""#);
        assert!(serde_json::from_str::<ImageReference>(r#""x:y""#).is_err());
    }

    #[test]
    fn pinning_replaces_the_tag() {
        let hex = "6".repeat(64);
        let digest = format!("sha256:{hex}").parse().unwrap();
        let pin = |text: &str| {
            let reference: ImageReference = text.parse().unwrap();
            reference.pinned(&digest).map(|pinned| pinned.to_string())
        };
        assert_eq!(
            pin("registry:quay.io/a/b:c").unwrap(),
            format!("docker://quay.io/a/b@sha256:{hex}")
        );
        assert_eq!(pin("oci:/d:tag").unwrap(), format!("oci:/d@sha256:{hex}"));
        assert_eq!(pin("dir:/d"), None);
    }
}
