//! Which package a file belongs to, as the database in the tree itself says: dpkg's or RPM's.

mod dpkg;
mod rpm;
mod sqlite;
mod versions;

use std::collections::{BTreeMap, HashMap};

use error_class::{Classified, ErrorClass};
use layer::{Content, ObjectSource};
use ostree::ReadError;
use ostree_format::Checksum;

use crate::tree_files;

pub use versions::{PackageVersions, package_versions};

/// Largest file of a database that is read.
const MAX_FILE: u64 = 1 << 30;

/// How many links a path may lead through.
const MAX_LINKS: usize = 20;

/// Why the packages of a tree are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackagesError {
    /// There is no database.
    #[error(
        "the tree has no database of packages: neither dpkg's status nor RPM's rpmdb.sqlite was found"
    )]
    NoDatabase,
    /// The database is damaged, or not of the form that is understood.
    #[error("{path} of the tree cannot be understood: {reason}")]
    Malformed {
        /// The file.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Part of the database is still in a journal.
    #[error("{0} of the tree was not closed: open the database once with rpm before")]
    NotClosed(String),
    /// The tree cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Classified for PackagesError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoDatabase => ErrorClass::NotFound,
            Self::Malformed { .. } | Self::NotClosed(_) => ErrorClass::InvalidInput,
            Self::Read(error) => error.class(),
        }
    }
}

/// What owns an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// The source package: what is built together changes together.
    pub(super) package: String,
    /// How often it changes.
    pub(super) frequency: u32,
}

/// A package of a database.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    source: String,
    frequency: u32,
    /// With a leading slash.
    files: Vec<String>,
}

/// What owns the objects of a tree. Of an object that several packages have, the first by name.
pub(super) fn owners(
    source: &dyn ObjectSource,
    contents: &Checksum,
    content: &Content,
) -> Result<BTreeMap<Checksum, Owner>, PackagesError> {
    let tree = Files {
        source,
        contents: *contents,
    };
    let packages = match dpkg::packages(&tree)? {
        Some(packages) => Some(packages),
        None => rpm::packages(&tree)?,
    };
    let mut packages = packages.ok_or(PackagesError::NoDatabase)?;
    packages.sort_by(|a, b| a.source.cmp(&b.source));
    let mut places = Places::new(source, content);
    let mut owners = BTreeMap::new();
    for package in packages {
        for path in &package.files {
            if let Some(object) = places.object(path)? {
                owners.entry(object).or_insert_with(|| Owner {
                    package: package.source.clone(),
                    frequency: package.frequency,
                });
            }
        }
    }
    Ok(owners)
}

/// `name-version-release.src.rpm` without all but the name.
pub(super) fn without_release(source: &str) -> &str {
    let Some(stem) = source.strip_suffix(".src.rpm") else {
        return source;
    };
    stem.rsplitn(3, '-').last().unwrap_or(stem)
}

/// The files of the tree that has the database.
struct Files<'a> {
    source: &'a dyn ObjectSource,
    contents: Checksum,
}

impl Files<'_> {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.read_at_most(path, MAX_FILE)
    }

    fn read_at_most(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ReadError> {
        let found = tree_files::find(self.source, self.contents, path)?;
        let content = |object| tree_files::content(self.source, &object, limit);
        found.map(content).transpose()
    }
}

/// Where objects are.
struct Places<'a> {
    source: &'a dyn ObjectSource,
    objects: HashMap<&'a str, Checksum>,
    /// Targets of links that were met.
    targets: HashMap<Checksum, Option<String>>,
}

impl<'a> Places<'a> {
    fn new(source: &'a dyn ObjectSource, content: &'a Content) -> Self {
        let mut objects = HashMap::new();
        for (object, placed) in content {
            objects.extend(placed.paths.iter().map(|path| (path.as_str(), *object)));
        }
        Self {
            source,
            objects,
            targets: HashMap::new(),
        }
    }

    /// The object at a path, which may lead through links to directories, as `/bin` does.
    fn object(&mut self, path: &str) -> Result<Option<Checksum>, ReadError> {
        let mut path = normal("", path);
        for _ in 0..MAX_LINKS {
            let found = self.objects.get(path.as_str()).copied();
            if found.is_some() {
                return Ok(found);
            }
            match self.through_link(&path)? {
                Some(next) => path = next,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The path, with the first part that is a link replaced.
    fn through_link(&mut self, path: &str) -> Result<Option<String>, ReadError> {
        // In a commit, it is below /usr.
        if let Some(rest) = path.strip_prefix("etc/") {
            return Ok(Some(format!("usr/etc/{rest}")));
        }
        for (at, _) in path.match_indices('/') {
            let (prefix, rest) = path.split_at(at);
            let Some(object) = self.objects.get(prefix).copied() else {
                continue;
            };
            let Some(target) = self.target(object)? else {
                return Ok(None);
            };
            let parent = prefix.rsplit_once('/').map_or("", |(parent, _)| parent);
            let parent = if target.starts_with('/') { "" } else { parent };
            return Ok(Some(normal(parent, &format!("{target}{rest}"))));
        }
        Ok(None)
    }

    fn target(&mut self, object: Checksum) -> Result<Option<String>, ReadError> {
        if let Some(known) = self.targets.get(&object) {
            return Ok(known.clone());
        }
        let target = self.source.file(&object)?.header.symlink;
        self.targets.insert(object, target.clone());
        Ok(target)
    }
}

/// `path` below `parent`, without dots and double slashes.
fn normal(parent: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in parent.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sources() {
        for (source, name) in [
            ("glibc-2.35-4.fc36.src.rpm", "glibc"),
            ("gcc-c++-13-1.src.rpm", "gcc-c++"),
            (
                "rpmostree-unpackaged-content",
                "rpmostree-unpackaged-content",
            ),
        ] {
            assert_eq!(without_release(source), name);
        }
    }

    #[test]
    fn paths_are_made_normal() {
        assert_eq!(normal("usr/bin", "../lib//x"), "usr/lib/x");
        assert_eq!(normal("", "/./a/"), "a");
        assert_eq!(normal("a", "../../b"), "b");
    }
}
