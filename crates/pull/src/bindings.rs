//! What a commit says that it belongs to. Source: libostree's keys `ostree.ref-binding` (`as`) and
//! `ostree.collection-binding` (`s`) in a commit's metadata.

use ostree_format::Commit;
use ostree_format::gvariant::Value;

const REF_BINDING: &str = "ostree.ref-binding";
const COLLECTION_BINDING: &str = "ostree.collection-binding";

/// The commit belongs to something else, or does not say to what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// A remote with a collection has only bound commits.
    #[error("Expected commit metadata to have {0} binding information, found none")]
    Unbound(&'static str),
    /// It belongs to other refs.
    #[error("Commit has no requested ref ‘{wanted}’ in ref binding metadata ({})", listed(.bound))]
    OtherRefs {
        /// The ref that was asked for.
        wanted: String,
        /// Those it names.
        bound: Vec<String>,
    },
    /// It belongs to another collection.
    #[error(
        "Commit has collection ID ‘{bound}’ in collection binding metadata, while the remote it came from \
         has collection ID ‘{wanted}’"
    )]
    OtherCollection {
        /// The remote's collection.
        wanted: String,
        /// The one it names.
        bound: String,
    },
}

fn listed(refs: &[String]) -> String {
    if refs.is_empty() {
        return "no refs".to_owned();
    }
    let quoted: Vec<_> = refs.iter().map(|name| format!("‘{name}’")).collect();
    quoted.join(", ")
}

/// Whether a commit may come from a remote with this collection, under this ref (`None` when it was asked
/// for by its checksum). Without a collection only bindings that are there count.
pub(crate) fn check(
    commit: &Commit,
    name: Option<&str>,
    collection: Option<&str>,
) -> Result<(), BindingError> {
    let bound = match commit.metadata.get(REF_BINDING) {
        Some(Value::Array(_, names)) => names.iter().filter_map(Value::as_str),
        _ if collection.is_none() => return Ok(()),
        _ => return Err(BindingError::Unbound("ref")),
    };
    let bound: Vec<String> = bound.map(ToOwned::to_owned).collect();
    if let Some(name) = name
        && !bound.iter().any(|bound| bound == name)
    {
        let wanted = name.to_owned();
        return Err(BindingError::OtherRefs { wanted, bound });
    }
    let Some(collection) = collection else {
        return Ok(());
    };
    match commit.metadata.get_str(COLLECTION_BINDING) {
        Some(bound) if bound == collection => Ok(()),
        Some(bound) => Err(BindingError::OtherCollection {
            wanted: collection.to_owned(),
            bound: bound.to_owned(),
        }),
        None => Err(BindingError::Unbound("collection ID")),
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
        assert_eq!(check(&commit(None, None), Some("a"), None), Ok(()));
        assert_eq!(
            check(&commit(Some(&["a", "b"]), None), Some("b"), None),
            Ok(())
        );
        assert_eq!(
            check(&commit(Some(&["a"]), Some("x")), Some("a"), None),
            Ok(())
        );
        // Asked for by checksum.
        assert_eq!(check(&commit(Some(&["a"]), None), None, None), Ok(()));
        let error = check(&commit(Some(&["a"]), None), Some("b"), None).unwrap_err();
        assert!(error.to_string().contains("‘b’"), "{error}");
    }

    #[test]
    fn a_collection_demands_both_bindings() {
        let id = Some("org.x.Y");
        assert_eq!(check(&commit(Some(&["a"]), id), Some("a"), id), Ok(()));
        for (refs, collection) in [
            (None, id),
            (Some(&["a"][..]), None),
            (Some(&["a"][..]), Some("")),
            (Some(&["a"][..]), Some("org.x.Z")),
            (Some(&["b"][..]), id),
        ] {
            let checked = check(&commit(refs, collection), Some("a"), id);
            assert!(checked.is_err(), "{refs:?} {collection:?}");
        }
    }
}
