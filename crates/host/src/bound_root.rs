//! What a root binds: the images that its own units run.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use containers::{BOUND_IMAGES, BoundImage, Labeler};
use durable::IoContext as _;
use file_contexts::{Policy, xattr_value};
use oci::digest::Digest;
use oci::reference::{RegistryReference, RegistryReferenceError};
use ostree::Repo;
use ostree_format::Checksum;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::BoundError;

/// Largest unit that is read.
const MAX_UNIT: u64 = 1024 * 1024;
/// How many links lead to a unit at most.
const MAX_LINKS: usize = 16;
/// Where podman's storage is for policies.
const STORAGE: &str = "/var/lib/containers/storage";

/// A root that can boot, and the images that its units run.
pub struct BoundRoot {
    /// What it is known by: the checksum of its commit, or the digest of its image.
    pub(crate) key: String,
    pub(crate) images: BTreeSet<Bound>,
    pub(crate) labeler: Option<Labeler>,
}

/// An image with the name that it has in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bound {
    pub(crate) name: String,
    pub(crate) auth_file: Option<PathBuf>,
}

impl std::fmt::Debug for BoundRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundRoot")
            .field("key", &self.key)
            .field("images", &self.images)
            .finish_non_exhaustive()
    }
}

impl BoundRoot {
    /// The root in a commit.
    ///
    /// # Errors
    /// [`BoundError`].
    pub fn of_commit(repo: &Repo, commit: &Checksum) -> Result<Self, BoundError> {
        Ok(Self {
            key: commit.to_string(),
            images: bound_by(repo, commit)?,
            labeler: None,
        })
    }

    /// The root in a directory, which is known by `key`.
    ///
    /// # Errors
    /// [`BoundError`].
    pub fn of_directory(key: &str, root: BorrowedFd<'_>) -> Result<Self, BoundError> {
        Ok(Self {
            key: key.to_owned(),
            images: bound_in(root)?,
            labeler: None,
        })
    }

    /// What is stored for it gets labels of SELinux by its policy.
    #[must_use]
    pub fn labelled(mut self, policy: Option<Policy>) -> Self {
        self.labeler = policy.map(labeler);
        self
    }

    /// The same root, as if it bound this image only.
    pub(crate) fn with_only(&self, bound: &Bound) -> Self {
        Self {
            key: self.key.clone(),
            images: BTreeSet::from([bound.clone()]),
            labeler: self.labeler.clone(),
        }
    }

    /// Whether it binds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }
}

/// Labels as a policy has them for podman's storage.
pub(crate) fn labeler(policy: Policy) -> Labeler {
    Arc::new(move |path, mode| {
        let path = format!("{STORAGE}/{path}");
        policy.label(path.as_bytes(), mode).map(xattr_value)
    })
}

impl Bound {
    /// # Errors
    /// [`BoundError`].
    fn of_unit(file: &str, text: &str) -> Result<Self, BoundError> {
        let found = BoundImage::parse(file, text).map_err(|source| BoundError::Unit {
            file: file.to_owned(),
            source,
        })?;
        Ok(Self {
            name: full_name(&found.image)?,
            auth_file: found.auth_file.map(PathBuf::from),
        })
    }
}

/// The name as podman has it: with a tag, or with a digest only.
pub(crate) fn full_name(image: &str) -> Result<String, BoundError> {
    let name = parse(image)?;
    let digest: Option<Digest> = name.digest().cloned();
    Ok(match (digest, name.tag()) {
        (Some(digest), _) => name.pinned(&digest).to_string(),
        (None, Some(_)) => name.to_string(),
        (None, None) => format!("{name}:latest"),
    })
}

pub(crate) fn parse(name: &str) -> Result<RegistryReference, BoundError> {
    name.parse()
        .map_err(|source: RegistryReferenceError| BoundError::Name {
            image: name.to_owned(),
            source,
        })
}

/// The images that the root in a directory binds, each once.
fn bound_in(root: BorrowedFd<'_>) -> Result<BTreeSet<Bound>, BoundError> {
    let mut bound = BTreeSet::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match in_root(root, BOUND_IMAGES, flags) {
        Err(Errno::NOENT) => return Ok(bound),
        other => other.during("open", BOUND_IMAGES)?,
    };
    for entry in Dir::read_from(&dir).during("list", BOUND_IMAGES)? {
        let entry = entry.during("list", BOUND_IMAGES)?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if matches!(file.as_str(), "." | "..") {
            continue;
        }
        let stat = rustix::fs::statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.during("look at", &file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(BoundError::NoLink(file));
        }
        let path = format!("{BOUND_IMAGES}/{file}");
        let unit = match in_root(root, &path, OFlags::RDONLY | OFlags::CLOEXEC) {
            Err(Errno::NOENT | Errno::LOOP) => return Err(BoundError::Dangling(file)),
            other => std::fs::File::from(other.during("open", &path)?),
        };
        let mut text = String::new();
        unit.take(MAX_UNIT)
            .read_to_string(&mut text)
            .during("read", &path)?;
        bound.insert(Bound::of_unit(&file, &text)?);
    }
    Ok(bound)
}

/// Opens what links lead to that count from the root.
fn in_root(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<std::os::fd::OwnedFd, Errno> {
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, Path::new(path), flags, Mode::empty(), inside)
}

/// The images that the system in a commit binds, each once.
fn bound_by(repo: &Repo, commit: &Checksum) -> Result<BTreeSet<Bound>, BoundError> {
    let Some((contents, _)) = repo.subtree(commit, BOUND_IMAGES)? else {
        return Ok(BTreeSet::new());
    };
    let mut bound = BTreeSet::new();
    for (file, object) in repo.load_dirtree(&contents)?.files {
        let header = repo.open_file(&object)?.header;
        if !header.is_symlink() {
            return Err(BoundError::NoLink(file));
        }
        let path = format!("{BOUND_IMAGES}/{file}");
        let text = read_in_root(repo, commit, &path)?;
        let text = text.ok_or_else(|| BoundError::Dangling(file.clone()))?;
        bound.insert(Bound::of_unit(&file, &text)?);
    }
    Ok(bound)
}

/// The text of a file in a commit, where links count from the commit's root.
fn read_in_root(repo: &Repo, commit: &Checksum, path: &str) -> Result<Option<String>, BoundError> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let Some((contents, _)) = repo.subtree(commit, parent)? else {
            return Ok(None);
        };
        let files = repo.load_dirtree(&contents)?.files;
        let Some((_, object)) = files.into_iter().find(|(other, _)| other == name) else {
            return Ok(None);
        };
        let file = repo.open_file(&object)?;
        let Some(target) = &file.header.symlink else {
            let mut text = String::new();
            let read = file.content.take(MAX_UNIT).read_to_string(&mut text);
            read.during("read", &path)?;
            return Ok(Some(text));
        };
        path = joined(parent, target);
    }
    Ok(None)
}

/// Where a link leads that is in `parent`; the defaults of `/etc` are in `usr/etc`.
fn joined(parent: &str, target: &str) -> String {
    let mut parts: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => parent.split('/').collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if parts.first() == Some(&"etc") {
        parts.insert(0, "usr");
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_count_from_the_root() {
        for (parent, target, expected) in [
            ("usr/lib/bootc", "/usr/share/a.image", "usr/share/a.image"),
            ("usr/lib/bootc", "../a.image", "usr/lib/a.image"),
            ("usr/lib/bootc", "../../../../etc/x/a", "usr/etc/x/a"),
            ("usr/lib/bootc", "./a", "usr/lib/bootc/a"),
        ] {
            assert_eq!(joined(parent, target), expected);
        }
    }
}
