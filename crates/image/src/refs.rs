//! Names of refs for layers and images.
//!
//! The escaping is that of ostree-ext's `refescape`: letters and digits and `-` stand for themselves, `_`
//! is doubled, everything else is its code point in hexadecimal between two `_`; a `/` stands for itself
//! after a letter or digit, unless it is the last character.

use std::fmt::Write as _;

use error_class::{Classified, ErrorClass};
use oci::digest::Digest;
use oci::reference::ImageReference;
use ostree_format::refs::RefName;

use crate::keys::{IMAGE_PREFIX, LAYER_PREFIX};

/// A name that no ref can stand for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot be the name of an image in a repository")]
pub struct RefNameError(pub String);

impl Classified for RefNameError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// The ref of the layer with this digest.
///
/// # Errors
/// None in practice: a digest can always be escaped.
pub fn ref_for_digest(digest: &Digest) -> Result<RefName, RefNameError> {
    escaped(LAYER_PREFIX, &digest.to_string())
}

/// The ref of an image.
///
/// # Errors
/// [`RefNameError`] when the name is empty or holds NUL.
pub fn ref_for_image(image: &ImageReference) -> Result<RefName, RefNameError> {
    escaped(IMAGE_PREFIX, &image.to_string())
}

fn escaped(prefix: &str, text: &str) -> Result<RefName, RefNameError> {
    let invalid = || RefNameError(text.to_owned());
    if text.is_empty() || text.contains('\0') {
        return Err(invalid());
    }
    format!("{prefix}/{}", escape(text))
        .parse()
        .map_err(|_| invalid())
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut after_word = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_alphanumeric() => out.push(c),
            '/' if after_word && chars.peek().is_some() => out.push(c),
            '-' => out.push(c),
            '_' => out.push_str("__"),
            // Writing to a string cannot fail.
            other => drop(write!(out, "_{:02X}_", u32::from(other))),
        }
        after_word = c.is_ascii_alphanumeric();
    }
    out
}

/// Undo the escaping of what stands behind a prefix; `None` when it was not made by it.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '-' || c == '/' => out.push(c),
            '_' => {
                let code: String = rest.by_ref().take_while(|c| *c != '_').collect();
                if code.is_empty() {
                    out.push('_');
                } else {
                    out.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
                }
            }
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Left: names; right: refs as ostree-ext documents and writes them.
    const PAIRS: [(&str, &str); 6] = [
        (
            "registry:quay.io/coreos/fedora:latest",
            "registry_3A_quay_2E_io/coreos/fedora_3A_latest",
        ),
        (
            "docker://quay.io/exampleos:latest",
            "docker_3A__2F__2F_quay_2E_io/exampleos_3A_latest",
        ),
        ("sha256:12345", "sha256_3A_12345"),
        ("oci:/tmp/a_b:v1", "oci_3A__2F_tmp/a__b_3A_v1"),
        ("a/", "a_2F_"),
        ("x/y", "x/y"),
    ];

    #[test]
    fn escapes_as_the_existing_tools() {
        for (name, escaped) in PAIRS {
            assert_eq!(escape(name), escaped);
            assert_eq!(unescape(escaped).as_deref(), Some(name));
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        assert!(escaped("p", "").is_err());
        assert!(escaped("p", "a\0b").is_err());
        assert_eq!(unescape("a_ZZ_"), None);
        assert_eq!(unescape("a.b"), None);
    }
}
