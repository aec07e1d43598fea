//! The packages in an image, as far as its trees or its manifest tell.

use image::{COMPONENTS_ANNOTATION, PackageVersions as Packages, PackagesError, package_versions};
use oci::spec::Descriptor;
use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use serde::Serialize;

/// Which packages differ between two trees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "there are these three differences"
)]
pub struct PackageChanges {
    /// `NAME VERSION`.
    pub added: Vec<String>,
    /// `NAME VERSION`.
    pub removed: Vec<String>,
    /// `NAME OLD -> NEW`.
    pub changed: Vec<String>,
}

impl PackageChanges {
    pub(crate) fn between(old: &Packages, new: &Packages) -> Self {
        let only = |these: &Packages, those: &Packages| {
            let only = these.iter().filter(|(name, _)| !those.contains_key(*name));
            only.map(|(name, version)| with_version(name, version))
                .collect()
        };
        let both = old
            .iter()
            .filter_map(|(name, version)| Some((name, version, new.get(name)?)));
        let changed = both.filter(|(_, old, new)| old != new);
        Self {
            added: only(new, old),
            removed: only(old, new),
            changed: changed
                .map(|(name, old, new)| format!("{name} {old} -> {new}"))
                .collect(),
        }
    }
}

fn with_version(name: &str, version: &str) -> String {
    match version {
        "" => name.to_owned(),
        _ => format!("{name} {version}"),
    }
}

/// The packages of a commit; `None` when nothing in it tells.
pub(crate) fn packages(repo: &Repo, commit: &Checksum) -> Result<Option<Packages>, ReadError> {
    match package_versions(repo, commit) {
        Err(PackagesError::Read(error)) if !matches!(error, ReadError::BadContent { .. }) => {
            Err(error)
        }
        // A database that cannot be read tells nothing; that the object is damaged is found when it is checked.
        found => Ok(found.unwrap_or_default()),
    }
}

/// The components that a manifest says its layers have, by name only.
pub(crate) fn components(layers: &[Descriptor]) -> Option<Packages> {
    let named = layers.iter().filter_map(|layer| {
        let annotations = layer.annotations().as_ref()?;
        annotations.get(COMPONENTS_ANNOTATION)
    });
    let names: Packages = named
        .flat_map(|names| names.split(','))
        .map(|name| (name.trim().to_owned(), String::new()))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let list = |pairs: &[(&str, &str)]| -> Packages {
            let pairs = pairs.iter();
            pairs
                .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
                .collect()
        };
        let changes = PackageChanges::between(
            &list(&[("a", "1"), ("b", "1"), ("c", "")]),
            &list(&[("a", "1"), ("b", "2"), ("d", "1")]),
        );
        assert_eq!(changes.added, ["d 1"]);
        assert_eq!(changes.removed, ["c"]);
        assert_eq!(changes.changed, ["b 1 -> 2"]);
    }
}
