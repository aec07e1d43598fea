//! dpkg's database: `status`, and below `info` a list of files for each package.
//!
//! Source: dpkg's documentation, deb-control(5) and dpkg-query(1).

use ostree::ReadError;

use super::{Files, MAX_FILE, Package, PackageVersions, PackagesError};
use crate::encapsulate::packing::USUAL;

/// Where it is: as dpkg has it, or moved out of `/var`, which commits do not keep up to date.
const PLACES: [&str; 4] = [
    "var/lib/dpkg",
    "usr/lib/sysimage/dpkg",
    "usr/lib/dpkg",
    "usr/share/dpkg",
];

/// Largest list of which only the versions are wanted.
const MAX_VERSIONS: u64 = 64 * 1024 * 1024;

/// The installed packages with their versions; none where there is no such database.
pub(super) fn versions(tree: &Files<'_>) -> Result<Option<PackageVersions>, ReadError> {
    let version = |stanza: Stanza<'_>| (stanza.name.to_owned(), stanza.version.to_owned());
    let found = database(tree, MAX_VERSIONS)?;
    Ok(found.map(|(_, status)| installed(&status).map(version).collect()))
}

/// Where the database is, and its `status`, of at most `limit` bytes.
fn database(tree: &Files<'_>, limit: u64) -> Result<Option<(&'static str, String)>, ReadError> {
    for place in PLACES {
        if let Some(status) = tree.read_at_most(&format!("{place}/status"), limit)? {
            return Ok(Some((place, String::from_utf8_lossy(&status).into_owned())));
        }
    }
    Ok(None)
}

/// The installed packages; none where there is no such database.
pub(super) fn packages(tree: &Files<'_>) -> Result<Option<Vec<Package>>, PackagesError> {
    let Some((place, status)) = database(tree, MAX_FILE)? else {
        return Ok(None);
    };
    let packages = installed(&status).map(|stanza| package(tree, place, &stanza));
    packages.collect::<Result<_, _>>().map(Some)
}

/// What `status` says about a package.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stanza<'a> {
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
    source: Option<&'a str>,
    installed: bool,
}

fn installed(status: &str) -> impl Iterator<Item = Stanza<'_>> {
    let stanzas = status.split("\n\n").map(stanza);
    stanzas.filter(|stanza| stanza.installed && !stanza.name.is_empty())
}

fn stanza(text: &str) -> Stanza<'_> {
    let mut stanza = Stanza::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match key {
            "Package" => stanza.name = value,
            "Version" => stanza.version = value,
            "Architecture" => stanza.architecture = value,
            // The version comes behind the name if it is another one.
            "Source" => stanza.source = value.split_whitespace().next(),
            "Status" => stanza.installed = value.ends_with(" installed"),
            _ => {}
        }
    }
    stanza
}

fn package(tree: &Files<'_>, place: &str, stanza: &Stanza<'_>) -> Result<Package, PackagesError> {
    let Stanza {
        name, architecture, ..
    } = stanza;
    let lists = [
        format!("{place}/info/{name}.list"),
        format!("{place}/info/{name}:{architecture}.list"),
    ];
    let mut files = Vec::new();
    for list in lists {
        if let Some(list) = tree.read(&list)? {
            let list = String::from_utf8_lossy(&list);
            files.extend(list.lines().map(ToOwned::to_owned));
        }
    }
    Ok(Package {
        source: stanza.source.unwrap_or(name).to_owned(),
        frequency: USUAL,
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed() {
        let status = "\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Description: x
 Package: not a field

Package: gone
Status: deinstall ok config-files
Architecture: all

Package: bash
Status: hold ok installed
Architecture: amd64
";
        let found: Vec<_> = installed(status).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].source, Some("glibc"));
        assert_eq!((found[1].name, found[1].source), ("bash", None));
    }

    #[test]
    fn versions_are_those_of_fields() {
        let status = "Package: bash\nStatus: install ok installed\nVersion: 5.2-1\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: vim\nStatus: install ok installed\nDescription: edits\n Version: 7\nVersion: 2:9.1\n";
        let found: Vec<_> = installed(status)
            .map(|stanza| (stanza.name, stanza.version))
            .collect();
        assert_eq!(found, [("bash", "5.2-1"), ("vim", "2:9.1")]);
    }
}
