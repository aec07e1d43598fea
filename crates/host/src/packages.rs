//! The packages in an image, as far as its trees or its manifest tell: Debian's from dpkg's list, RPMs from what
//! rpm-ostree notes in the commit.
//!
//! Source of the format: rpm-ostree's commit metadata `rpmostree.rpmdb.pkglist`, `a(sssss)` of name, epoch, version,
//! release and architecture.

use std::collections::BTreeMap;

use image::{COMPONENTS_ANNOTATION, dpkg_versions, query_image_commit};
use oci::spec::Descriptor;
use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use ostree_format::gvariant::Value;
use serde::Serialize;

const RPM_LIST: &str = "rpmostree.rpmdb.pkglist";

/// Names of packages with their versions.
pub(crate) type Packages = BTreeMap<String, String>;

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
    match dpkg_versions(repo, commit) {
        // A list that cannot be read tells nothing; that the object is damaged is found when it is checked.
        Ok(None) | Err(ReadError::BadContent { .. }) => {}
        found => return found,
    }
    let base = query_image_commit(repo, commit)
        .ok()
        .and_then(|state| state.base_commit);
    let commit = repo.load_commit(&base.unwrap_or(*commit))?;
    let list = commit.metadata.get(RPM_LIST).and_then(Value::as_array);
    Ok(list.map(|list| list.iter().filter_map(of_rpm).collect()))
}

fn of_rpm(entry: &Value) -> Option<(String, String)> {
    let fields: Vec<&str> = entry.as_tuple()?.iter().filter_map(Value::as_str).collect();
    let [name, epoch, version, release, architecture] = fields[..] else {
        return None;
    };
    let epoch = match epoch {
        "" | "0" => String::new(),
        epoch => format!("{epoch}:"),
    };
    // Some are there for more than one processor.
    Some((
        format!("{name}.{architecture}"),
        format!("{epoch}{version}-{release}"),
    ))
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
    fn rpm_ostree_notes_five_fields() {
        let entry = |fields: [&str; 5]| Value::Tuple(fields.map(Value::from).to_vec());
        let found = of_rpm(&entry(["vim", "2", "9.1", "3.fc43", "x86_64"]));
        assert_eq!(found, Some(("vim.x86_64".into(), "2:9.1-3.fc43".into())));
        let found = of_rpm(&entry(["bash", "0", "5.2", "1", "noarch"]));
        assert_eq!(found, Some(("bash.noarch".into(), "5.2-1".into())));
        assert_eq!(of_rpm(&Value::Tuple(vec![Value::from("bash")])), None);
    }

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
