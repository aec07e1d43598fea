//! What registries are asked for: host, repository, tag, digest.

use std::fmt;
use std::str::FromStr;

use error_class::{Classified, ErrorClass};

use crate::digest::{Digest, DigestParseError};

/// The registry that names without a host belong to.
const DOCKER_HUB: &str = "docker.io";
/// What Docker Hub was called in old references.
const DOCKER_HUB_LEGACY: &str = "index.docker.io";
/// The namespace of Docker Hub's single-word names.
const OFFICIAL: &str = "library/";
const LONGEST_REPOSITORY: usize = 255;
const LONGEST_TAG: usize = 128;

/// A name in a registry: `[host[:port]/]repository[:tag][@digest]`.
///
/// The grammar and the defaults are Docker's (distribution project, `reference` package): the first
/// component is a host when it contains a dot, a colon or an upper-case letter or is `localhost`;
/// otherwise the host is `docker.io`, where single words live under `library/`. Printing gives the
/// full name; a tag is not invented.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl RegistryReference {
    /// Host and, where given, port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository below the registry, `org/name`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag as written, if any.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or index, if the reference is pinned.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What the manifest is asked for by: the digest when pinned, else the tag, else `latest`.
    #[must_use]
    pub fn wanted(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The same repository at a digest, without the tag.
    #[must_use]
    pub fn pinned(&self, digest: &Digest) -> Self {
        Self {
            tag: None,
            digest: Some(digest.clone()),
            ..self.clone()
        }
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for RegistryReference {
    type Err = RegistryReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (rest, digest) = split_digest(text)?;
        let (name, tag) = split_tag(text, rest)?;
        let (registry, repository) = split_registry(name);
        check_registry(text, &registry)?;
        check_repository(text, &repository)?;
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }
}

fn split_digest(text: &str) -> Result<(&str, Option<Digest>), RegistryReferenceError> {
    match text.split_once('@') {
        None => Ok((text, None)),
        Some((rest, digest)) => match digest.parse() {
            Ok(digest) => Ok((rest, Some(digest))),
            Err(cause) => Err(RegistryReferenceError::Digest {
                reference: text.to_owned(),
                cause,
            }),
        },
    }
}

/// Splits the tag off: what follows the last colon, unless a slash follows that colon (a port).
fn split_tag<'a>(
    text: &str,
    rest: &'a str,
) -> Result<(&'a str, Option<String>), RegistryReferenceError> {
    let Some((name, tag)) = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')) else {
        return Ok((rest, None));
    };
    let valid = tag.len() <= LONGEST_TAG
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(is_tag_char);
    if !valid {
        return Err(RegistryReferenceError::Tag {
            reference: text.to_owned(),
            tag: tag.to_owned(),
        });
    }
    Ok((name, Some(tag.to_owned())))
}

fn is_tag_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn split_registry(name: &str) -> (String, String) {
    let (registry, repository) = match name.split_once('/') {
        Some((first, rest)) if is_host(first) => (first, rest),
        _ => (DOCKER_HUB, name),
    };
    if registry != DOCKER_HUB && registry != DOCKER_HUB_LEGACY {
        return (registry.to_owned(), repository.to_owned());
    }
    let repository = if repository.contains('/') {
        repository.to_owned()
    } else {
        format!("{OFFICIAL}{repository}")
    };
    (DOCKER_HUB.to_owned(), repository)
}

fn is_host(component: &str) -> bool {
    component == "localhost"
        || component.contains(['.', ':'])
        || component.contains(|c: char| c.is_ascii_uppercase())
}

fn check_registry(text: &str, registry: &str) -> Result<(), RegistryReferenceError> {
    let (host, port) = split_port(registry);
    let port_is_valid = port.is_none_or(|port| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if port_is_valid && is_valid_host(host) {
        return Ok(());
    }
    Err(RegistryReferenceError::Registry {
        reference: text.to_owned(),
        registry: registry.to_owned(),
    })
}

/// Host and port; a bracketed IPv6 address keeps its colons.
pub(crate) fn split_port(registry: &str) -> (&str, Option<&str>) {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    }
}

fn is_valid_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    host.split('.').all(|label| {
        label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

fn check_repository(text: &str, repository: &str) -> Result<(), RegistryReferenceError> {
    let valid = repository.len() <= LONGEST_REPOSITORY
        && repository.split('/').all(is_valid_component)
        && !looks_like_id(repository);
    if valid {
        return Ok(());
    }
    Err(RegistryReferenceError::Repository {
        reference: text.to_owned(),
        repository: repository.to_owned(),
    })
}

/// Lower-case letters and digits, separated by one dot, one or two underscores, or any number of
/// dashes.
fn is_valid_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_are_words =
        bytes.first().is_some_and(|b| is_word(*b)) && bytes.last().is_some_and(|b| is_word(*b));
    ends_are_words
        && bytes
            .split(|b| is_word(*b))
            .all(|separator| matches!(separator, b"" | b"." | b"_" | b"__") || is_dashes(separator))
}

fn is_dashes(separator: &[u8]) -> bool {
    separator.iter().all(|b| *b == b'-')
}

/// A bare word of 64 hexadecimal digits is an image id to every other tool, never a name.
fn looks_like_id(repository: &str) -> bool {
    let name = repository.strip_prefix(OFFICIAL).unwrap_or(repository);
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The text is not a [`RegistryReference`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryReferenceError {
    /// What follows `@` is not a digest.
    #[error("registry reference {reference:?}: {cause}")]
    Digest {
        /// The whole text.
        reference: String,
        /// Why it is not a digest.
        cause: DigestParseError,
    },
    /// The tag has characters a tag cannot have, or is empty or too long.
    #[error("registry reference {reference:?} has the invalid tag {tag:?}")]
    Tag {
        /// The whole text.
        reference: String,
        /// The tag in it.
        tag: String,
    },
    /// The host or port is malformed.
    #[error("registry reference {reference:?} has the invalid registry {registry:?}")]
    Registry {
        /// The whole text.
        reference: String,
        /// The host and port in it.
        registry: String,
    },
    /// The repository is empty, too long, or has characters a repository cannot have.
    #[error(
        "registry reference {reference:?} has the invalid repository {repository:?}: lower-case \
         letters, digits and single separators are allowed"
    )]
    Repository {
        /// The whole text.
        reference: String,
        /// The repository in it.
        repository: String,
    },
}

impl Classified for RegistryReferenceError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RegistryReference {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    // Splits as containers/image and oci-spec make them.
    #[test]
    fn names_are_split_as_docker_splits_them() {
        for (text, registry, repository, tag) in [
            ("busybox", "docker.io", "library/busybox", None),
            ("test.com:tag", "docker.io", "library/test.com", Some("tag")),
            (
                "test.com:5000",
                "docker.io",
                "library/test.com",
                Some("5000"),
            ),
            ("test.com/repo:tag", "test.com", "repo", Some("tag")),
            ("test:5000/repo", "test:5000", "repo", None),
            ("test:5000/repo:tag", "test:5000", "repo", Some("tag")),
            (
                "lowercase:Upper",
                "docker.io",
                "library/lowercase",
                Some("Upper"),
            ),
            ("a.foo.com/bar/baz/q", "a.foo.com", "bar/baz/q", None),
            ("org/name", "docker.io", "org/name", None),
            ("index.docker.io/name", "docker.io", "library/name", None),
            ("docker.io/org/name", "docker.io", "org/name", None),
            ("localhost/os", "localhost", "os", None),
            ("LOCAL/os", "LOCAL", "os", None),
            ("127.0.0.1:5000/os:1", "127.0.0.1:5000", "os", Some("1")),
            ("[::1]:5000/os:1", "[::1]:5000", "os", Some("1")),
            ("[fd00::1]/os", "[fd00::1]", "os", None),
            ("x.io/a__b/c---d/e.f_g", "x.io", "a__b/c---d/e.f_g", None),
        ] {
            let parsed = parse(text);
            assert_eq!(parsed.registry(), registry, "{text}");
            assert_eq!(parsed.repository(), repository, "{text}");
            assert_eq!(parsed.tag(), tag, "{text}");
            assert_eq!(parse(&parsed.to_string()), parsed);
        }
    }

    #[test]
    fn a_digest_wins_over_the_tag() {
        let digest = format!("sha256:{}", "f".repeat(64));
        let both = parse(&format!("test:5000/repo:tag@{digest}"));
        assert_eq!(both.tag(), Some("tag"));
        assert_eq!(both.wanted(), digest);
        assert_eq!(both.to_string(), format!("test:5000/repo:tag@{digest}"));
        assert_eq!(parse("quay.io/a/b").wanted(), "latest");
        assert_eq!(parse("quay.io/a/b:c").wanted(), "c");
        let pinned = both.pinned(both.digest().unwrap());
        assert_eq!(pinned.to_string(), format!("test:5000/repo@{digest}"));
    }

    #[test]
    fn malformed_names_are_refused() {
        let id = "a".repeat(64);
        let long_tag = format!("quay.io/a:{}", "t".repeat(129));
        let long_name = format!("quay.io/{}", "n".repeat(256));
        for bad in [
            "",
            ":tag",
            "quay.io/",
            "quay.io//a",
            "quay.io/A/b",
            "quay.io/a:",
            "quay.io/a:.tag",
            "quay.io/a:ta/g/../x:",
            "quay.io/a b",
            "quay.io/a/../b",
            "quay.io/a..b",
            "quay.io/a___b",
            "quay.io/-a",
            "quay.io/a-",
            "quay.io/a?x=1",
            "quay.io:99999/a",
            "quay.io:/a",
            "quay.io:0/a",
            "-quay.io/a",
            "quay..io/a",
            "us er.io/a",
            "user@host.io/a",
            "[::1/a",
            "[zz]/a",
            "quay.io/a@sha256:abc",
            "quay.io/a@md5:d41d8cd98f00b204e9800998ecf8427e",
            "quay.io/a@",
            id.as_str(),
            long_tag.as_str(),
            long_name.as_str(),
        ] {
            assert!(bad.parse::<RegistryReference>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_accepted_prints_as_itself(
            text in r"([a-zA-Z0-9.]{1,6}(:[0-9]{1,3})?/)?[a-z0-9._/-]{0,12}(:[A-Za-z0-9_.-]{0,5})?",
        ) {
            if let Ok(parsed) = text.parse::<RegistryReference>() {
                let printed = parsed.to_string();
                proptest::prop_assert!(printed.ends_with(text.trim_start_matches("index.")));
                proptest::prop_assert_eq!(printed.parse::<RegistryReference>().unwrap(), parsed);
            }
        }
    }
}
