//! Names of images in files and directories.

use std::fmt;

use crate::digest::Digest;

/// A path, and which of the images there is meant.
///
/// The form is `path[:tag]` or `path@digest`, as in containers-transports(5): the path ends at its
/// first colon, so it cannot contain one, while the tag may (`oci:dir:quay.io/org/name:1.0`).
/// `path:@N` means the N-th image (from 0) whatever it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathReference {
    /// The file or directory.
    pub path: String,
    /// The image in it.
    pub selector: Selector,
}

/// Which image of several is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The only one there is.
    Only,
    /// The one with this name or tag.
    Name(String),
    /// The one whose manifest or index has this digest.
    Digest(Digest),
    /// The one at this position, counted from 0.
    Position(usize),
}

impl PathReference {
    /// Takes `path[:tag]`, `path@digest` or `path:@N` apart. Every text has a meaning.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        if let Some((path, digest)) = pinned(name) {
            let path = path.to_owned();
            let selector = Selector::Digest(digest);
            return Self { path, selector };
        }
        match name.split_once(':') {
            None => Self::whole(name),
            Some((path, tag)) => Self {
                path: path.to_owned(),
                selector: Selector::parse(tag),
            },
        }
    }

    /// A path without any selection syntax.
    #[must_use]
    pub fn whole(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            selector: Selector::Only,
        }
    }
}

fn pinned(name: &str) -> Option<(&str, Digest)> {
    let (path, digest) = name.rsplit_once('@')?;
    Some((path, digest.parse().ok()?))
}

impl Selector {
    fn parse(tag: &str) -> Self {
        let position = tag.strip_prefix('@').and_then(|n| n.parse().ok());
        match position {
            Some(position) => Self::Position(position),
            None if tag.is_empty() => Self::Only,
            None => Self::Name(tag.to_owned()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only => f.write_str("image"),
            Self::Name(name) => write!(f, "image {name:?}"),
            Self::Digest(digest) => write!(f, "image {digest}"),
            Self::Position(n) => write!(f, "image number {n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (name, path, selector) in [
            ("/srv/oci", "/srv/oci", Selector::Only),
            ("/srv/oci:", "/srv/oci", Selector::Only),
            ("d:latest", "d", Selector::Name("latest".to_owned())),
            (
                "d:quay.io/a/b:1",
                "d",
                Selector::Name("quay.io/a/b:1".to_owned()),
            ),
            ("d:@2", "d", Selector::Position(2)),
            ("a@b", "a@b", Selector::Only),
            (
                &format!("/a@b@{digest}"),
                "/a@b",
                Selector::Digest(digest.parse().unwrap()),
            ),
            // Not a digest, so it is an ordinary path and tag.
            ("d@sha256:abc", "d@sha256", Selector::Name("abc".to_owned())),
        ] {
            let parsed = PathReference::parse(name);
            assert_eq!(parsed.path, path, "{name}");
            assert_eq!(parsed.selector, selector, "{name}");
        }
    }
}
