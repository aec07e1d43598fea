//! The packages in an image, as far as its trees or its manifest tell: Debian's from dpkg's list, RPMs from what
//! rpm-ostree notes in the commit.
//!
//! Sources of the formats: `dpkg` (deb-control(5), the status file); rpm-ostree's commit metadata
//! `rpmostree.rpmdb.pkglist`, `a(sssss)` of name, epoch, version, release and architecture.

use std::collections::BTreeMap;
use std::io::Read as _;

use image::{COMPONENTS_ANNOTATION, query_image_commit};
use oci::spec::Descriptor;
use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use ostree_format::gvariant::Value;
use serde::Serialize;

/// Where Debian keeps the list of packages; the second place is for systems whose `/var` starts empty.
const DPKG: [(&str, &str); 2] = [
    ("var/lib/dpkg", "status"),
    ("usr/lib/sysimage/dpkg", "status"),
];
const RPM_LIST: &str = "rpmostree.rpmdb.pkglist";

/// Largest list that is read.
const MAX_LIST: u64 = 64 * 1024 * 1024;

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
    for (directory, name) in DPKG {
        if let Some(text) = read(repo, commit, directory, name)? {
            return Ok(Some(of_dpkg(&text)));
        }
    }
    let base = query_image_commit(repo, commit)
        .ok()
        .and_then(|state| state.base_commit);
    let commit = repo.load_commit(&base.unwrap_or(*commit))?;
    let list = commit.metadata.get(RPM_LIST).and_then(Value::as_array);
    Ok(list.map(|list| list.iter().filter_map(of_rpm).collect()))
}

fn read(
    repo: &Repo,
    commit: &Checksum,
    directory: &str,
    name: &str,
) -> Result<Option<String>, ReadError> {
    let Some((contents, _)) = repo.subtree(commit, directory)? else {
        return Ok(None);
    };
    let tree = repo.load_dirtree(&contents)?;
    let Some((_, object)) = tree.files.iter().find(|(file, _)| file == name) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let mut content = repo.open_file(object)?.content.take(MAX_LIST);
    // A list that cannot be read tells nothing; that the object is damaged is found when it is checked.
    let read = content.read_to_end(&mut bytes);
    Ok(read
        .ok()
        .map(|_| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Paragraphs of `Field: value`; what is only left over of removed packages does not count.
fn of_dpkg(text: &str) -> Packages {
    let field = |paragraph: &str, name: &str| {
        let mut lines = paragraph.lines();
        lines.find_map(|line| {
            Some(
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .to_owned(),
            )
        })
    };
    let package = |paragraph: &str| {
        let status = field(paragraph, "Status")?;
        let name = field(paragraph, "Package").filter(|_| status.ends_with(" installed"))?;
        Some((name, field(paragraph, "Version").unwrap_or_default()))
    };
    text.split("\n\n").filter_map(package).collect()
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

    const STATUS: &str = "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n\n\
        Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
        Package: vim\nStatus: install ok installed\nDescription: edits\n Version: 7\nVersion: 2:9.1\n";

    #[test]
    fn dpkg_tells_what_is_installed() {
        let found = of_dpkg(STATUS);
        let expected = [("bash", "5.2-1"), ("vim", "2:9.1")];
        let expected = expected.map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(found, Packages::from(expected));
    }

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
