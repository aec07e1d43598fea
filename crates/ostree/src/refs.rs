//! Refs: names for commits, one small file each.

use std::path::Path;

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree_format::refs::{InvalidRef, RefName, Refspec};
use ostree_format::{Checksum, ObjectKind};
use rustix::fs::{AtFlags, Dir, FileType};

use crate::repo::open_dir;
use crate::{ReadError, Repo};

/// Largest ref file that is read: a checksum and a line break, with some room.
const MAX_REF: u64 = 256;

/// Why a ref could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefError {
    /// There is no such ref, nor commit.
    #[error("refspec {0:?} not found")]
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
            Self::Invalid(_) | Self::Ambiguous(_) => ErrorClass::InvalidInput,
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::Read(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// What a user may write for a commit: a checksum, the beginning of one, a ref, any of them with `^`.
pub type Rev = str;

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

    fn read_ref_file(
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
            if let Some(commit) = self.find_in_remotes(&refspec.name)? {
                return Ok(Some(commit));
            }
            return self.complete_checksum(rev);
        }
        Ok(None)
    }

    fn find_in_remotes(&self, name: &RefName) -> Result<Option<Checksum>, RefError> {
        for remote in self.remotes_with_refs()? {
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

    fn remotes_with_refs(&self) -> Result<Vec<String>, RefError> {
        let mut remotes: Vec<String> = self
            .names_in("refs/remotes")?
            .into_iter()
            .filter_map(|(name, is_dir)| is_dir.then_some(name))
            .collect();
        remotes.sort_unstable();
        Ok(remotes)
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
        self.collect_refs(None, "", &mut refs)?;
        for remote in self.remotes_with_refs()? {
            self.collect_refs(Some(&remote), "", &mut refs)?;
        }
        refs.sort();
        Ok(refs)
    }

    /// The refs of this repository itself below `prefix` (`a` finds `a/b`, not `ab`), sorted.
    ///
    /// # Errors
    /// The first ref that cannot be read.
    pub fn list_refs_below(&self, prefix: &RefName) -> Result<Vec<(RefName, Checksum)>, RefError> {
        let mut refs = Vec::new();
        self.collect_refs(None, prefix.as_str(), &mut refs)?;
        refs.sort();
        Ok(refs
            .into_iter()
            .map(|(refspec, commit)| (refspec.name, commit))
            .collect())
    }

    fn collect_refs(
        &self,
        remote: Option<&str>,
        below: &str,
        refs: &mut Vec<(Refspec, Checksum)>,
    ) -> Result<(), RefError> {
        let base = match remote {
            None => "refs/heads".to_owned(),
            Some(remote) => format!("refs/remotes/{remote}"),
        };
        let dir = if below.is_empty() {
            base.clone()
        } else {
            format!("{base}/{below}")
        };
        for (name, is_dir) in self.names_in(&dir)? {
            let name = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            if is_dir {
                self.collect_refs(remote, &name, refs)?;
                continue;
            }
            // Temporary files of a writer are no valid names and are passed over.
            let Ok(ref_name) = name.parse::<RefName>() else {
                continue;
            };
            if let Some(commit) = self.read_ref_file(&format!("{base}/{name}"), || name.clone())? {
                let remote = remote.map(ToOwned::to_owned);
                refs.push((
                    Refspec {
                        remote,
                        name: ref_name,
                    },
                    commit,
                ));
            }
        }
        Ok(())
    }

    /// Names in a directory below the repository, each with whether it is a directory.
    fn names_in(&self, path: &str) -> Result<Vec<(String, bool)>, durable::Error> {
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

    /// Write or remove a ref's file; nothing is synced.
    pub(crate) fn write_ref(
        &self,
        refspec: &Refspec,
        commit: Option<&Checksum>,
    ) -> Result<(), durable::Error> {
        let path = ref_path(refspec);
        let path = Path::new(&path);
        match commit {
            Some(commit) => {
                if let Some(parent) = path.parent() {
                    durable::create_dir_all(self.dir(), parent, 0o777)?;
                }
                durable::publish_no_sync(self.dir(), path, format!("{commit}\n").as_bytes(), 0o644)
            }
            None => match rustix::fs::unlinkat(self.dir(), path, AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
                Err(error) => Err(error).during("remove ref", path),
            },
        }
    }
}
