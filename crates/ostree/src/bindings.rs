//! What a commit says about the refs that it was made for.
//!
//! Source: the keys `ostree.ref-binding` and `ostree.collection-binding` that `ostree commit` writes, and
//! what `ostree fsck --verify-bindings` accepts.

use error_class::{Classified, ErrorClass};
use ostree_format::Commit;
use ostree_format::gvariant::Value;

const REF_BINDING: &str = "ostree.ref-binding";
const COLLECTION_BINDING: &str = "ostree.collection-binding";

/// A commit was not made for the ref that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// It names other refs.
    #[error(
        "Commit has no requested ref ‘{name}’ in ref binding metadata ({})",
        quoted(bound)
    )]
    OtherRefs {
        /// The ref that was asked for.
        name: String,
        /// The refs that the commit names.
        bound: Vec<String>,
    },
    /// It names another collection.
    #[error(
        "Commit has collection ID ‘{found}’ in collection binding metadata, while the remote it came from \
         has collection ID ‘{wanted}’"
    )]
    OtherCollection {
        /// The collection that the commit names.
        found: String,
        /// The collection that was asked for.
        wanted: String,
    },
    /// The refs of a collection need commits that say so.
    #[error("Expected commit metadata to have {0} binding information, found none")]
    Unbound(&'static str),
}

impl Classified for BindingError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Untrusted
    }
}

fn quoted(names: &[String]) -> String {
    if names.is_empty() {
        return "no refs".to_owned();
    }
    let names: Vec<String> = names.iter().map(|name| format!("‘{name}’")).collect();
    names.join(", ")
}

/// The refs that the commit was made for; `None` when it says nothing about them.
#[must_use]
pub fn bound_refs(commit: &Commit) -> Option<Vec<String>> {
    let Value::Array(_, names) = commit.metadata.get(REF_BINDING)? else {
        return None;
    };
    let names = names.iter().filter_map(Value::as_str);
    Some(names.map(ToOwned::to_owned).collect())
}

/// The collection that the commit was made for.
#[must_use]
pub fn bound_collection(commit: &Commit) -> Option<&str> {
    commit.metadata.get_str(COLLECTION_BINDING)
}

/// Whether the commit may be named by the ref `name`, of a collection when there is one. A commit that was
/// asked for by its checksum has no name to agree with.
///
/// # Errors
/// [`BindingError`]. A commit that says nothing is fine outside of collections.
pub fn verify_bindings(
    commit: &Commit,
    collection: Option<&str>,
    name: Option<&str>,
) -> Result<(), BindingError> {
    let Some(bound) = bound_refs(commit) else {
        return match collection {
            Some(_) => Err(BindingError::Unbound("ref")),
            None => Ok(()),
        };
    };
    if let Some(name) = name
        && !bound.iter().any(|bound| bound == name)
    {
        let name = name.to_owned();
        return Err(BindingError::OtherRefs { name, bound });
    }
    let Some(wanted) = collection else {
        return Ok(());
    };
    match bound_collection(commit) {
        None => Err(BindingError::Unbound("collection ID")),
        Some(found) if found != wanted => Err(BindingError::OtherCollection {
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        }),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ostree_format::gvariant::Type;
    use ostree_format::{Checksum, Metadata};

    fn commit(refs: Option<&[&str]>, collection: Option<&str>) -> Commit {
        let mut metadata = Metadata::new();
        if let Some(refs) = refs {
            let names = refs.iter().map(|name| Value::from(*name)).collect();
            metadata.insert(REF_BINDING, Value::Array(Type::Str, names));
        }
        if let Some(collection) = collection {
            metadata.insert(COLLECTION_BINDING, collection);
        }
        Commit {
            metadata,
            parent: None,
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: 0,
            contents: Checksum::of(b""),
            meta: Checksum::of(b""),
        }
    }

    #[test]
    fn without_a_collection_only_a_binding_that_is_there_counts() {
        assert_eq!(
            verify_bindings(&commit(None, None), None, Some("a")),
            Ok(())
        );
        assert_eq!(
            verify_bindings(&commit(Some(&["a", "b"]), None), None, Some("b")),
            Ok(())
        );
        assert_eq!(
            verify_bindings(&commit(Some(&["a"]), Some("x")), None, Some("a")),
            Ok(())
        );
        // Asked for by checksum.
        assert_eq!(
            verify_bindings(&commit(Some(&["a"]), None), None, None),
            Ok(())
        );
        let error = verify_bindings(&commit(Some(&["a"]), None), None, Some("b")).unwrap_err();
        assert!(error.to_string().contains("‘b’"), "{error}");
    }

    #[test]
    fn a_collection_demands_both_bindings() {
        let id = Some("org.x.Y");
        assert_eq!(
            verify_bindings(&commit(Some(&["a"]), id), id, Some("a")),
            Ok(())
        );
        for (refs, collection) in [
            (None, id),
            (Some(&["a"][..]), None),
            (Some(&["a"][..]), Some("")),
            (Some(&["a"][..]), Some("org.x.Z")),
            (Some(&["b"][..]), id),
        ] {
            let checked = verify_bindings(&commit(refs, collection), id, Some("a"));
            assert!(checked.is_err(), "{refs:?} {collection:?}");
        }
    }
}
