//! The packages of a commit with their versions: Debian's from dpkg's list, RPMs from what rpm-ostree notes in
//! commits, or from RPM's own database.
//!
//! Source of the format: rpm-ostree's commit metadata `rpmostree.rpmdb.pkglist`, `a(sssss)` of name, epoch, version,
//! release and architecture.

use std::collections::BTreeMap;

use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use ostree_format::gvariant::Value;

use super::{Files, PackagesError, dpkg, rpm};
use crate::query_image_commit;

const RPM_LIST: &str = "rpmostree.rpmdb.pkglist";

/// Names of packages with their versions; those of RPMs with their architecture, as in `bash.x86_64`.
pub type PackageVersions = BTreeMap<String, String>;

/// The packages of a commit; `None` when nothing in it tells. An image's base may be what tells.
///
/// # Errors
/// [`PackagesError`], but for [`PackagesError::NoDatabase`].
pub fn package_versions(
    repo: &Repo,
    commit: &Checksum,
) -> Result<Option<PackageVersions>, PackagesError> {
    let tree = Files {
        source: repo,
        contents: repo.load_commit(commit)?.contents,
    };
    if let Some(found) = dpkg::versions(&tree)? {
        return Ok(Some(found));
    }
    match noted(repo, commit)? {
        Some(found) => Ok(Some(found)),
        None => rpm::versions(&tree),
    }
}

/// What rpm-ostree notes in the commit, or in the commit that the image is based on.
fn noted(repo: &Repo, commit: &Checksum) -> Result<Option<PackageVersions>, ReadError> {
    let base = query_image_commit(repo, commit)
        .ok()
        .and_then(|state| state.base_commit);
    let commit = repo.load_commit(&base.unwrap_or(*commit))?;
    let list = commit.metadata.get(RPM_LIST).and_then(Value::as_array);
    Ok(list.map(|list| list.iter().filter_map(entry).collect()))
}

fn entry(entry: &Value) -> Option<(String, String)> {
    let fields: Vec<&str> = entry.as_tuple()?.iter().filter_map(Value::as_str).collect();
    let [name, epoch, version, release, architecture] = fields[..] else {
        return None;
    };
    Some(of_rpm(name, architecture, [epoch, version, release]))
}

/// A package of RPM: some are there for more than one processor.
pub(super) fn of_rpm(name: &str, architecture: &str, version: [&str; 3]) -> (String, String) {
    let [epoch, version, release] = version;
    let epoch = match epoch {
        "" | "0" => String::new(),
        epoch => format!("{epoch}:"),
    };
    (
        format!("{name}.{architecture}"),
        format!("{epoch}{version}-{release}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rpm_ostree_notes_five_fields() {
        let noted = |fields: [&str; 5]| entry(&Value::Tuple(fields.map(Value::from).to_vec()));
        let found = noted(["vim", "2", "9.1", "3.fc43", "x86_64"]);
        assert_eq!(found, Some(("vim.x86_64".into(), "2:9.1-3.fc43".into())));
        let found = noted(["bash", "0", "5.2", "1", "noarch"]);
        assert_eq!(found, Some(("bash.noarch".into(), "5.2-1".into())));
        assert_eq!(entry(&Value::Tuple(vec![Value::from("bash")])), None);
    }
}
