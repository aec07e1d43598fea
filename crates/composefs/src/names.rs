//! What stands in `streams/` and `images/`: links to objects, and references to them.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::Path;

use composefs_format::{Digest, Stream};
use durable::IoContext as _;
use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::{Store, StoreError};

/// References below references at most.
const DEEPEST: usize = 64;

/// The kinds of what has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// Images of roots.
    Images,
    /// Split streams.
    Streams,
}

impl Category {
    pub(crate) const fn dir(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Streams => "streams",
        }
    }
}

impl Store {
    /// The entries of a kind: every name with the digest of its object, `None` when the link leads nowhere a digest
    /// could be read from.
    ///
    /// # Errors
    /// What the system said.
    pub fn entries(
        &self,
        category: Category,
    ) -> Result<BTreeMap<String, Option<Digest>>, StoreError> {
        let mut entries = BTreeMap::new();
        for name in self.list(category.dir())? {
            if name != "refs" {
                let digest = self.target(&format!("{}/{name}", category.dir()))?;
                entries.insert(name, digest);
            }
        }
        Ok(entries)
    }

    /// The digest of an entry's object; `None` when there is no such entry.
    ///
    /// # Errors
    /// [`StoreError::Link`] when the link leads elsewhere.
    pub fn entry(&self, category: Category, name: &str) -> Result<Option<Digest>, StoreError> {
        check_reference(name)?;
        let path = format!("{}/{name}", category.dir());
        match rustix::fs::statat(self.dir(), &path, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.during("look at", &path)?,
        };
        let digest = self.target(&path)?;
        digest.map(Some).ok_or(StoreError::Link { path })
    }

    /// The digest in the link `…/objects/xx/yyyy`.
    fn target(&self, path: &str) -> Result<Option<Digest>, StoreError> {
        let target = match rustix::fs::readlinkat(self.dir(), path, Vec::new()) {
            Err(Errno::INVAL) => return Ok(None),
            other => other.during("read link", path)?,
        };
        let digest = target.to_str().ok().and_then(|target| {
            let (head, name) = target.rsplit_once('/')?;
            let (parents, head) = head.rsplit_once('/')?;
            let digest: Digest = format!("{head}{name}").parse().ok()?;
            (parents == "../objects" && digest.algorithm() == self.algorithm()).then_some(digest)
        });
        Ok(digest)
    }

    /// The references of a kind: every name with that of its entry.
    ///
    /// # Errors
    /// What the system said.
    pub fn references(&self, category: Category) -> Result<BTreeMap<String, String>, StoreError> {
        let mut references = BTreeMap::new();
        self.references_below(category, "", &mut references, 0)?;
        Ok(references)
    }

    fn references_below(
        &self,
        category: Category,
        prefix: &str,
        into: &mut BTreeMap<String, String>,
        depth: usize,
    ) -> Result<(), StoreError> {
        let dir = format!("{}/refs", category.dir());
        for name in self.list(&format!("{dir}/{prefix}"))? {
            let name = format!("{prefix}{name}");
            let path = format!("{dir}/{name}");
            let stat = rustix::fs::statat(self.dir(), &path, AtFlags::SYMLINK_NOFOLLOW);
            match FileType::from_raw_mode(stat.during("look at", &path)?.st_mode) {
                FileType::Directory if depth < DEEPEST => {
                    self.references_below(category, &format!("{name}/"), into, depth + 1)?;
                }
                FileType::Symlink => {
                    let target = rustix::fs::readlinkat(self.dir(), &path, Vec::new());
                    let target = target.during("read link", &path)?;
                    let target = String::from_utf8_lossy(target.as_bytes());
                    let entry = target.rsplit('/').next().unwrap_or_default();
                    into.insert(name, entry.to_owned());
                }
                _ => return Err(StoreError::Link { path }),
            }
        }
        Ok(())
    }

    /// Remove a reference; whether there was one.
    ///
    /// # Errors
    /// What the system said.
    pub fn remove_reference(&self, category: Category, name: &str) -> Result<bool, StoreError> {
        check_reference(name)?;
        let path = format!("{}/refs/{name}", category.dir());
        match rustix::fs::unlinkat(self.dir(), &path, AtFlags::empty()) {
            Ok(()) => durable::sync_filesystem(self.dir())?,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Ok(Err(error).during("remove", path)?),
        }
        Ok(true)
    }

    /// The stream with this digest, verified.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn stream(&self, digest: &Digest) -> Result<Stream, StoreError> {
        let bytes = self.read_object(digest)?;
        let stream = Stream::from_bytes(bytes, self.algorithm());
        stream.map_err(|source| StoreError::Stream {
            digest: digest.to_string(),
            source,
        })
    }
}

/// Whether a name stays below where it starts.
pub(crate) fn check_reference(name: &str) -> Result<(), StoreError> {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_valid = name.split('/').all(is_plain) && !name.contains('\0');
    is_valid.then_some(()).ok_or_else(|| StoreError::Name {
        name: name.to_owned(),
    })
}

/// Lets an entry be a link to an object.
pub(crate) fn link_to_object(
    dir: BorrowedFd<'_>,
    category: Category,
    name: &str,
    digest: &Digest,
) -> Result<(), StoreError> {
    let target = format!("../objects/{}", digest.object_path());
    let name = format!("{}/{name}", category.dir());
    Ok(durable::replace_symlink(
        dir,
        Path::new(&name),
        Path::new(&target),
    )?)
}

/// Lets a reference be a link to an entry.
pub(crate) fn link_to_entry(
    dir: BorrowedFd<'_>,
    category: Category,
    name: &str,
    entry: &str,
) -> Result<(), StoreError> {
    let path = format!("{}/refs/{name}", category.dir());
    if let Some((parents, _)) = path.rsplit_once('/') {
        durable::create_dir_all(dir, Path::new(parents), 0o755)?;
    }
    let up = "../".repeat(1 + name.matches('/').count());
    let target = format!("{up}{entry}");
    Ok(durable::replace_symlink(
        dir,
        Path::new(&path),
        Path::new(&target),
    )?)
}
