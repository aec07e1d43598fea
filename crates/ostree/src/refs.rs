//! Refs: names for commits, one small file each.

use std::path::Path;

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree_format::refs::{InvalidRef, RefName, Refspec};
use ostree_format::{Checksum, ObjectKind};
use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use crate::repo::open_dir;
use crate::{ReadError, Repo};

/// Largest ref file that is read: a checksum and a line break, with some room.
const MAX_REF: u64 = 256;

/// Why a ref could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefError {
    /// There is no such ref, nor commit.
    #[error("Refspec '{0}' not found")]
    NotFound(String),
    /// The name is not allowed.
    #[error(transparent)]
    Invalid(#[from] InvalidRef),
    /// More than one commit begins with these digits.
    #[error("{0:?} is the beginning of more than one commit")]
    Ambiguous(String),
    /// The ref's file does not hold a checksum.
    #[error("ref {name} is damaged: it holds {content:?}, not a checksum")]
    Damaged {
        /// The ref.
        name: String,
        /// What it holds, shortened.
        content: String,
    },
    /// The commit has no parent, but `^` asked for it.
    #[error("commit {0} has no parent")]
    NoParent(Checksum),
    /// A ref and a directory of refs would have the same name.
    #[error("ref {name} cannot be written: there is {with}")]
    Conflict {
        /// The ref.
        name: String,
        /// What is in the way.
        with: &'static str,
    },
    /// Not all refs can be listed.
    #[error("Listing refs: opendir({}): {}", .0.path.display(), .0.source)]
    Listing(#[source] durable::Error),
    /// A commit on the way could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for RefError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) | Self::NoParent(_) => ErrorClass::NotFound,
            Self::Invalid(_) | Self::Ambiguous(_) | Self::Conflict { .. } => {
                ErrorClass::InvalidInput
            }
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::Read(error) => error.class(),
            Self::Listing(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// What a user may write for a commit: a checksum, the beginning of one, a ref, any of them with `^`.
pub type Rev = str;

/// Whose ref it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RefOwner {
    /// This repository's.
    Local,
    /// A remote's, as it was when it was pulled.
    Remote(String),
    /// That of a collection that is mirrored here.
    Mirror(String),
}

impl RefOwner {
    fn directory(&self) -> String {
        match self {
            Self::Local => "refs/heads".to_owned(),
            Self::Remote(name) => format!("refs/remotes/{name}"),
            Self::Mirror(name) => format!("refs/mirrors/{name}"),
        }
    }

    fn remote(&self) -> Option<String> {
        match self {
            Self::Remote(name) => Some(name.clone()),
            Self::Local | Self::Mirror(_) => None,
        }
    }
}

/// One ref as it stands on disk.
#[derive(Debug)]
pub(crate) struct RefFile {
    pub(crate) owner: RefOwner,
    pub(crate) name: RefName,
    /// `None` when it was removed meanwhile, or is an alias of nothing.
    pub(crate) commit: Result<Option<Checksum>, RefError>,
}

impl RefFile {
    /// The name for messages: `remote:name` or `(collection, name)`, as libostree prints them.
    pub(crate) fn shown(&self) -> String {
        match &self.owner {
            RefOwner::Local => self.name.to_string(),
            RefOwner::Remote(remote) => format!("{remote}:{}", self.name),
            RefOwner::Mirror(collection) => format!("({collection}, {})", self.name),
        }
    }
}

/// Where a ref's file stands below the repository.
pub(crate) fn ref_path(refspec: &Refspec) -> String {
    match &refspec.remote {
        None => format!("refs/heads/{}", refspec.name),
        Some(remote) => format!("refs/remotes/{remote}/{}", refspec.name),
    }
}

impl Repo {
    /// The commit that a ref names, if there is such a ref.
    ///
    /// # Errors
    /// [`RefError::Damaged`] when it holds something else.
    pub fn read_ref(&self, refspec: &Refspec) -> Result<Option<Checksum>, RefError> {
        self.read_ref_file(&ref_path(refspec), || refspec.to_string())
    }

    pub(crate) fn read_ref_file(
        &self,
        path: &str,
        name: impl Fn() -> String,
    ) -> Result<Option<Checksum>, RefError> {
        let bytes = match durable::read_optional(self.dir(), Path::new(path), MAX_REF) {
            // A directory of refs is not a ref, nor is what would lie below one.
            Err(error)
                if matches!(
                    error.source.kind(),
                    std::io::ErrorKind::IsADirectory | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            other => other?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        text.trim_end()
            .parse()
            .map(Some)
            .map_err(|_| RefError::Damaged {
                name: name(),
                content: text.chars().take(80).collect(),
            })
    }

    /// The commit that a user means: see [`Rev`].
    ///
    /// # Errors
    /// [`RefError::NotFound`] when it is nothing of what it could be.
    pub fn resolve(&self, rev: &Rev) -> Result<Checksum, RefError> {
        self.try_resolve(rev)?
            .ok_or_else(|| RefError::NotFound(rev.to_owned()))
    }

    /// As [`Repo::resolve`], but "not found" is a value.
    ///
    /// # Errors
    /// [`RefError`].
    pub fn try_resolve(&self, rev: &Rev) -> Result<Option<Checksum>, RefError> {
        if let Some(child) = rev.strip_suffix('^') {
            let Some(child) = self.try_resolve(child)? else {
                return Ok(None);
            };
            let parent = self.load_commit(&child)?.parent;
            return parent.map(Some).ok_or(RefError::NoParent(child));
        }
        if let Ok(checksum) = rev.parse() {
            return Ok(Some(checksum));
        }
        let refspec: Refspec = rev.parse()?;
        if let Some(commit) = self.read_ref(&refspec)? {
            return Ok(Some(commit));
        }
        if refspec.remote.is_none() {
            // `REMOTE/REF`, as a path.
            let path = format!("refs/remotes/{}", refspec.name);
            if let Some(commit) = self.read_ref_file(&path, || refspec.to_string())? {
                return Ok(Some(commit));
            }
            if let Some(commit) = self.find_in_remotes(&refspec.name)? {
                return Ok(Some(commit));
            }
            return self.complete_checksum(rev);
        }
        Ok(None)
    }

    fn find_in_remotes(&self, name: &RefName) -> Result<Option<Checksum>, RefError> {
        for remote in self.directories_in("refs/remotes")? {
            let refspec = Refspec {
                remote: Some(remote),
                name: name.clone(),
            };
            if let Some(commit) = self.read_ref(&refspec)? {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }

    /// Names of the directories in a directory below the repository, sorted.
    fn directories_in(&self, path: &str) -> Result<Vec<String>, RefError> {
        let names = self.names_in(path)?;
        let mut names: Vec<String> = names
            .into_iter()
            .filter_map(|(name, is_dir)| is_dir.then_some(name))
            .collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The one commit whose checksum begins with `prefix`.
    fn complete_checksum(&self, prefix: &str) -> Result<Option<Checksum>, RefError> {
        let is_hex = prefix
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let Some(head) = prefix.get(..2).filter(|_| is_hex && prefix.len() < 64) else {
            return Ok(None);
        };
        let head = u8::from_str_radix(head, 16).unwrap_or_default();
        let mut found = self.objects_in(head)?.into_iter().filter(|name| {
            name.kind == ObjectKind::Commit && name.checksum.to_string().starts_with(prefix)
        });
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(RefError::Ambiguous(prefix.to_owned())),
            (one, _) => Ok(one.map(|name| name.checksum)),
        }
    }

    /// All refs of this repository and of its remotes, sorted.
    ///
    /// # Errors
    /// The first ref that cannot be read.
    pub fn list_refs(&self) -> Result<Vec<(Refspec, Checksum)>, RefError> {
        let mut refs = Vec::new();
        for found in self.ref_files()? {
            if let RefOwner::Mirror(_) = found.owner {
                continue;
            }
            let remote = found.owner.remote();
            let name = found.name;
            refs.extend(
                found
                    .commit?
                    .map(|commit| (Refspec { remote, name }, commit)),
            );
        }
        refs.sort();
        Ok(refs)
    }

    /// The refs of this repository itself below `prefix` (`a` finds `a/b`, not `ab`), sorted.
    ///
    /// # Errors
    /// The first ref that cannot be read.
    pub fn list_refs_below(&self, prefix: &RefName) -> Result<Vec<(RefName, Checksum)>, RefError> {
        let mut found = Vec::new();
        self.collect_refs(&RefOwner::Local, prefix.as_str(), &mut found)?;
        let mut refs = Vec::new();
        for found in found {
            refs.extend(found.commit?.map(|commit| (found.name, commit)));
        }
        refs.sort();
        Ok(refs)
    }

    /// The refs that follow another ref, sorted, each with what it follows.
    ///
    /// # Errors
    /// What the system said.
    pub fn list_ref_aliases(&self) -> Result<Vec<(RefName, RefName)>, RefError> {
        let mut aliases = Vec::new();
        for found in self.ref_files()? {
            if found.owner == RefOwner::Local
                && let Some(target) = self.alias_target(&found.name)?
            {
                aliases.push((found.name, target));
            }
        }
        aliases.sort();
        Ok(aliases)
    }

    fn alias_target(&self, name: &RefName) -> Result<Option<RefName>, RefError> {
        let path = format!("refs/heads/{name}");
        let target = match rustix::fs::readlinkat(self.dir(), &path, Vec::new()) {
            Ok(target) => target,
            Err(Errno::INVAL | Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).during("read link", &path).map_err(Into::into),
        };
        let mut parts: Vec<&str> = name.as_str().split('/').collect();
        parts.pop();
        for part in target.to_str().unwrap_or_default().split('/') {
            if part == ".." {
                parts.pop();
            } else {
                parts.push(part);
            }
        }
        Ok(parts.join("/").parse().ok())
    }

    /// Every ref file there is, also those of mirrored collections and those that are damaged.
    pub(crate) fn ref_files(&self) -> Result<Vec<RefFile>, RefError> {
        let mut found = Vec::new();
        self.collect_refs(&RefOwner::Local, "", &mut found)?;
        // A repository without it is not whole: better no refs than some of them.
        open_dir(self.dir(), Path::new("refs/remotes")).map_err(RefError::Listing)?;
        for remote in self.directories_in("refs/remotes")? {
            self.collect_refs(&RefOwner::Remote(remote), "", &mut found)?;
        }
        for collection in self.directories_in("refs/mirrors")? {
            self.collect_refs(&RefOwner::Mirror(collection), "", &mut found)?;
        }
        Ok(found)
    }

    fn collect_refs(
        &self,
        owner: &RefOwner,
        below: &str,
        found: &mut Vec<RefFile>,
    ) -> Result<(), RefError> {
        let base = owner.directory();
        for (name, is_dir) in self.names_in(&format!("{base}/{below}"))? {
            let name = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            if is_dir {
                self.collect_refs(owner, &name, found)?;
                continue;
            }
            // Temporary files of a writer are no valid names and are passed over.
            let Ok(ref_name) = name.parse::<RefName>() else {
                continue;
            };
            found.push(RefFile {
                owner: owner.clone(),
                name: ref_name,
                commit: self.read_ref_file(&format!("{base}/{name}"), || name.clone()),
            });
        }
        Ok(())
    }

    /// Names in a directory below the repository, each with whether it is a directory.
    pub(crate) fn names_in(&self, path: &str) -> Result<Vec<(String, bool)>, durable::Error> {
        let dir = match open_dir(self.dir(), Path::new(path)) {
            Err(error)
                if matches!(
                    error.source.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(Vec::new());
            }
            other => other?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir).during("list", path)? {
            let entry = entry.during("list", path)?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let is_dir = match entry.file_type() {
                FileType::Unknown => {
                    let stat =
                        rustix::fs::statat(&dir, name, AtFlags::empty()).during("look at", name)?;
                    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
                }
                kind => kind == FileType::Directory,
            };
            names.push((name.to_owned(), is_dir));
        }
        Ok(names)
    }
}
