//! Signatures in detached metadata: list, add, remove.
//!
//! The same functions serve a commit's `.commitmeta` and a repository's `summary.sig`: both are
//! an `a{sv}` ([`Metadata`]), and other entries are left as they are, in their order.

use std::fmt;

use error_class::{Classified, ErrorClass};
use ostree_format::Metadata;
use ostree_format::gvariant::{Type, Value};

/// A way of signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// OpenPGP, `ostree gpg-sign`.
    Gpg,
    /// ed25519 with bare keys, `ostree sign --sign-type=ed25519`.
    Ed25519,
    /// Keys as `SubjectPublicKeyInfo`, `ostree sign --sign-type=spki`.
    Spki,
    /// The scheme of libostree's tests: the signature is the key.
    Dummy,
}

impl Scheme {
    /// All schemes, in the order libostree tries them; GPG first.
    pub const ALL: [Self; 4] = [Self::Gpg, Self::Ed25519, Self::Spki, Self::Dummy];

    /// The key in detached metadata that holds the scheme's signatures.
    #[must_use]
    pub const fn metadata_key(self) -> &'static str {
        match self {
            Self::Gpg => "ostree.gpgsigs",
            Self::Ed25519 => "ostree.sign.ed25519",
            Self::Spki => "ostree.sign.spki",
            Self::Dummy => "ostree.sign.dummy",
        }
    }

    /// The scheme's name, as `--sign-type` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gpg => "gpg",
            Self::Ed25519 => "ed25519",
            Self::Spki => "spki",
            Self::Dummy => "dummy",
        }
    }

    /// The scheme that is called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The entry of a scheme is not a list of byte strings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signatures under {key:?} have type {found}, not aay")]
pub struct WrongType {
    /// The key in the metadata.
    pub key: &'static str,
    /// The type that stands there.
    pub found: Type,
}

impl Classified for WrongType {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

/// The signatures of `scheme`, in order; none when there is no such entry.
///
/// # Errors
/// [`WrongType`] when the entry holds something else.
pub fn list(metadata: &Metadata, scheme: Scheme) -> Result<Vec<&[u8]>, WrongType> {
    let key = scheme.metadata_key();
    let Some(value) = metadata.get(key) else {
        return Ok(Vec::new());
    };
    let wrong = || WrongType {
        key,
        found: value.value_type(),
    };
    let elements = value.as_array().ok_or_else(wrong)?;
    let bytes = elements.iter().map(Value::as_bytes);
    bytes.collect::<Option<_>>().ok_or_else(wrong)
}

/// Append a signature of `scheme`.
///
/// Whether the same key has signed before is for the caller to find out, as in libostree.
///
/// # Errors
/// [`WrongType`] when the entry holds something else; `metadata` is unchanged then.
pub fn add(metadata: &mut Metadata, scheme: Scheme, signature: Vec<u8>) -> Result<(), WrongType> {
    let mut signatures = owned(metadata, scheme)?;
    signatures.push(signature);
    store(metadata, scheme, signatures);
    Ok(())
}

/// Keep the signatures of `scheme` for which `keep` says so (it is given place and bytes); how many
/// were removed.
///
/// The entry goes with its last signature. Other schemes and other entries stay.
///
/// # Errors
/// [`WrongType`] when the entry holds something else; `metadata` is unchanged then.
pub fn retain(
    metadata: &mut Metadata,
    scheme: Scheme,
    mut keep: impl FnMut(usize, &[u8]) -> bool,
) -> Result<usize, WrongType> {
    let signatures = owned(metadata, scheme)?;
    let before = signatures.len();
    let numbered = signatures.into_iter().enumerate();
    let kept: Vec<_> = numbered
        .filter(|(place, bytes)| keep(*place, bytes))
        .map(|(_, bytes)| bytes)
        .collect();
    let removed = before - kept.len();
    store(metadata, scheme, kept);
    Ok(removed)
}

/// Remove all signatures of `scheme`, whatever stands there; whether there was an entry.
pub fn remove_all(metadata: &mut Metadata, scheme: Scheme) -> bool {
    metadata.remove(scheme.metadata_key()).is_some()
}

fn owned(metadata: &Metadata, scheme: Scheme) -> Result<Vec<Vec<u8>>, WrongType> {
    let borrowed = list(metadata, scheme)?;
    Ok(borrowed.into_iter().map(<[u8]>::to_vec).collect())
}

fn store(metadata: &mut Metadata, scheme: Scheme, signatures: Vec<Vec<u8>>) {
    if signatures.is_empty() {
        metadata.remove(scheme.metadata_key());
        return;
    }
    let elements = signatures.into_iter().map(Value::Bytes).collect();
    metadata.insert(scheme.metadata_key(), Value::Array(Type::bytes(), elements));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_two() -> Metadata {
        let mut metadata = Metadata::new();
        metadata.insert("note", "kept");
        add(&mut metadata, Scheme::Gpg, b"one".to_vec()).unwrap();
        add(&mut metadata, Scheme::Ed25519, b"other".to_vec()).unwrap();
        add(&mut metadata, Scheme::Gpg, b"two".to_vec()).unwrap();
        metadata
    }

    fn keys(metadata: &Metadata) -> Vec<&str> {
        metadata.iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn signatures_are_listed_in_order() {
        assert_eq!(list(&with_two(), Scheme::Gpg).unwrap(), [b"one", b"two"]);
        assert!(list(&with_two(), Scheme::Spki).unwrap().is_empty());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = with_two().to_bytes();
        assert_eq!(Metadata::from_bytes(&bytes).unwrap(), with_two());
    }

    #[test]
    fn removing_one_keeps_the_rest() {
        let mut metadata = with_two();
        let removed = retain(&mut metadata, Scheme::Gpg, |place, _| place != 0).unwrap();
        assert_eq!(removed, 1);
        assert_eq!(list(&metadata, Scheme::Gpg).unwrap(), [b"two"]);
        assert_eq!(
            keys(&metadata),
            ["note", "ostree.gpgsigs", "ostree.sign.ed25519"]
        );
    }

    #[test]
    fn the_entry_goes_with_its_last_signature() {
        let mut metadata = with_two();
        assert_eq!(retain(&mut metadata, Scheme::Gpg, |_, _| false), Ok(2));
        assert_eq!(keys(&metadata), ["note", "ostree.sign.ed25519"]);
        assert!(remove_all(&mut metadata, Scheme::Ed25519));
        assert!(!remove_all(&mut metadata, Scheme::Ed25519));
        assert_eq!(keys(&metadata), ["note"]);
    }

    #[test]
    fn another_type_is_refused_and_left_alone() {
        let mut metadata = Metadata::new();
        metadata.insert("ostree.gpgsigs", "text");
        let before = metadata.clone();
        let error = add(&mut metadata, Scheme::Gpg, Vec::new()).unwrap_err();
        assert_eq!(error.found, Type::Str);
        assert_eq!(error.class(), ErrorClass::Corrupt);
        assert_eq!(metadata, before);
    }

    #[test]
    fn names_lead_back_to_schemes() {
        for scheme in Scheme::ALL {
            assert_eq!(Scheme::from_name(scheme.name()), Some(scheme));
        }
        assert_eq!(Scheme::from_name("rot13"), None);
    }
}
