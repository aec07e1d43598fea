//! Changing refs: every edit says what it expects to find, and nobody else's change is lost.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use durable::{IoContext as _, crash_point};
use ostree_format::Checksum;
use ostree_format::refs::{InvalidRef, RefName, Refspec};
use rustix::fs::{AtFlags, FlockOperation};
use rustix::io::Errno;

use crate::collection_refs::{CollectionRef, mirror_path};
use crate::refs::ref_path;
use crate::repo::open_dir;
use crate::{Expect, RefError, Repo, WriteError};

/// One change of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEdit {
    /// The ref.
    pub name: Refspec,
    /// What it must hold now.
    pub expect: Expect,
    /// What it shall hold; `None` removes it.
    pub commit: Option<Checksum>,
}

/// A ref of another collection, which is mirrored here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MirrorRef {
    pub(crate) collection: String,
    pub(crate) name: RefName,
    pub(crate) commit: Checksum,
}

/// Whether a name may be that of a collection: at least two words with a dot between them, as in
/// `org.example.Os`. Source: libostree's `ostree_validate_collection_id`.
pub(crate) fn is_collection(id: &str) -> bool {
    let word = |word: &str| {
        let digit_first = word.starts_with(|c: char| c.is_ascii_digit());
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        !word.is_empty() && !digit_first && word.bytes().all(allowed)
    };
    id.len() <= 255 && id.contains('.') && id.split('.').all(word)
}

impl Repo {
    /// Change refs at once, without a transaction: all expectations are checked before the first
    /// change.
    ///
    /// # Errors
    /// On [`WriteError::RefChanged`] and on names that cannot be written nothing was changed;
    /// otherwise the edits before the one that failed are done.
    pub fn edit_refs(&self, edits: &[RefEdit]) -> Result<(), WriteError> {
        let _lock = self.lock_shared()?;
        self.check_refs(edits)?;
        self.move_refs(edits)?;
        if self.config().fsync && !edits.is_empty() {
            durable::sync_filesystem(self.dir())?;
        }
        Ok(())
    }

    /// Make the ref `alias` follow the ref `target`, replacing what is there. Writing to the alias
    /// later turns it into a ref of its own, as with libostree.
    ///
    /// # Errors
    /// [`WriteError`]; the old ref is untouched then.
    pub fn set_ref_alias(&self, alias: &RefName, target: &RefName) -> Result<(), WriteError> {
        let _lock = self.lock_shared()?;
        refuse_checksum(alias)?;
        let path = format!("refs/heads/{alias}");
        let path = Path::new(&path);
        self.make_parents(path, alias.as_str())?;
        durable::replace_symlink(self.dir(), path, &relative(alias, target))?;
        self.touch()?;
        if self.config().fsync {
            durable::sync_filesystem(self.dir())?;
        }
        Ok(())
    }

    /// Whether every edit finds what it expects.
    pub(crate) fn check_refs(&self, edits: &[RefEdit]) -> Result<(), WriteError> {
        for edit in edits {
            if edit.commit.is_some() {
                refuse_checksum(&edit.name.name)?;
            }
            let wanted = match edit.expect {
                Expect::Any => continue,
                Expect::Absent => None,
                Expect::Exactly(commit) => Some(commit),
            };
            let found = self.read_ref(&edit.name)?;
            if found != wanted {
                let name = edit.name.clone();
                return Err(WriteError::RefChanged { name, found });
            }
        }
        Ok(())
    }

    /// Check again, now that no other writer of ours can come between, and write; nothing is synced.
    pub(crate) fn move_refs(&self, edits: &[RefEdit]) -> Result<(), WriteError> {
        if edits.is_empty() {
            return Ok(());
        }
        let _serialised = self.lock_refs()?;
        self.check_refs(edits)?;
        for edit in edits {
            self.write_ref(&edit.name, edit.commit.as_ref())?;
            crash_point("transaction:ref-written");
        }
        self.touch()?;
        Ok(())
    }

    /// Write refs of other collections; nothing is synced.
    pub(crate) fn move_mirror_refs(&self, refs: &[MirrorRef]) -> Result<(), WriteError> {
        if refs.is_empty() {
            return Ok(());
        }
        let _serialised = self.lock_refs()?;
        for MirrorRef {
            collection,
            name,
            commit,
        } in refs
        {
            let path = format!("refs/mirrors/{collection}/{name}");
            self.write_ref_file(Path::new(&path), name.as_str(), Some(commit))?;
        }
        self.touch()?;
        Ok(())
    }

    /// A lock on the directory `refs` itself, which needs no file that others would find.
    fn lock_refs(&self) -> Result<OwnedFd, durable::Error> {
        let refs = open_dir(self.dir(), Path::new("refs"))?;
        loop {
            match rustix::fs::flock(&refs, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                other => return other.during("lock", "refs").map(|()| refs),
            }
        }
    }

    /// Write or remove the ref of a collection that is mirrored here.
    pub(crate) fn write_mirror(
        &self,
        reference: &CollectionRef,
        commit: Option<&Checksum>,
    ) -> Result<(), WriteError> {
        let _lock = self.lock_shared()?;
        let _serialised = self.lock_refs()?;
        let path = mirror_path(reference);
        self.write_ref_file(Path::new(&path), &reference.to_string(), commit)?;
        self.touch()?;
        if self.config().fsync {
            durable::sync_filesystem(self.dir())?;
        }
        Ok(())
    }

    /// Write or remove a ref; nothing is synced.
    fn write_ref(&self, refspec: &Refspec, commit: Option<&Checksum>) -> Result<(), RefError> {
        let path = ref_path(refspec);
        self.write_ref_file(Path::new(&path), &refspec.to_string(), commit)
    }

    fn write_ref_file(
        &self,
        path: &Path,
        name: &str,
        commit: Option<&Checksum>,
    ) -> Result<(), RefError> {
        let Some(commit) = commit else {
            return match rustix::fs::unlinkat(self.dir(), path, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                Err(error) => Err(error).during("remove ref", path).map_err(Into::into),
            };
        };
        self.make_parents(path, name)?;
        let content = format!("{commit}\n");
        let write = || durable::publish_no_sync(self.dir(), path, content.as_bytes(), 0o644);
        match write() {
            Err(error) if error.source.kind() == std::io::ErrorKind::IsADirectory => {
                self.clear_directory_of_refs(path, name)?;
                write().map_err(Into::into)
            }
            other => other.map_err(Into::into),
        }
    }

    fn make_parents(&self, path: &Path, name: &str) -> Result<(), RefError> {
        let parent = path.parent().unwrap_or(Path::new("."));
        let made = durable::create_dir_all(self.dir(), parent, 0o777)
            .and_then(|()| open_dir(self.dir(), parent));
        match made {
            Ok(_) => Ok(()),
            Err(error) if error.source.kind() == std::io::ErrorKind::NotADirectory => {
                Err(conflict(name, "a ref of a shorter name"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Directories that deleted refs left behind make room for a ref; those with refs do not.
    fn clear_directory_of_refs(&self, path: &Path, name: &str) -> Result<(), RefError> {
        let text = path.display().to_string();
        for (child, is_dir) in self.names_in(&text)? {
            if !is_dir {
                return Err(conflict(name, "a ref below it"));
            }
            self.clear_directory_of_refs(&path.join(child), name)?;
        }
        rustix::fs::unlinkat(self.dir(), path, AtFlags::REMOVEDIR)
            .during("remove directory", path)
            .map_err(Into::into)
    }
}

fn conflict(name: &str, with: &'static str) -> RefError {
    let name = name.to_owned();
    RefError::Conflict { name, with }
}

/// A ref that looks like a checksum could never be read again.
fn refuse_checksum(name: &RefName) -> Result<(), RefError> {
    if name.as_str().parse::<Checksum>().is_ok() {
        let text = name.to_string();
        return Err(InvalidRef { text }.into());
    }
    Ok(())
}

/// From the directory of `alias` to `target`.
fn relative(alias: &RefName, target: &RefName) -> PathBuf {
    let depth = alias.as_str().matches('/').count();
    let mut path: PathBuf = std::iter::repeat_n("..", depth).collect();
    path.push(target.as_str());
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A summary names collections, and a collection becomes a directory.
    #[test]
    fn a_collection_is_no_path() {
        for id in ["org.example.Os", "a.b", "_a._b2"] {
            assert!(is_collection(id), "{id}");
        }
        for id in [
            "", "a", "..", "../x", "a.b/c", ".a", "a.", "a..b", "1a.b", "a.1b", "a b.c", "a.b-c",
        ] {
            assert!(!is_collection(id), "{id}");
        }
    }
}
