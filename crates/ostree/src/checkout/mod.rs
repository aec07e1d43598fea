//! Checking a tree out: hard links where that is possible, copies elsewhere.
//!
//! Files of a `bare` repository are linked, so that a checkout costs directories only; regular files
//! without content are copied, because a single inode could not have all the links that the empty
//! files of many checkouts need. Times are those that libostree gives: 0 for linked files and for
//! directories, the current time for copies and, in a copying checkout, for directories.

pub(crate) mod cache;
mod copy;
mod error;
mod existing;
mod file;
mod walk;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use ostree_format::Checksum;
use progress::{Interrupt, Progress};

use crate::{ReadError, Repo};

pub use error::CheckoutError;

/// Choices of a checkout.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckoutOptions<'a> {
    /// Copy every file, so that the checkout may be changed (`/etc`).
    pub force_copy: bool,
    /// Leave owners and extended attributes out, drop setuid and setgid bits and make files readable
    /// to their owner: what an unprivileged user can do (`--user-mode`). Repositories of mode
    /// `bare-user-only` are always checked out so.
    pub user_mode: bool,
    /// The directory of the tree to check out, for example `usr/etc`; all of it when `None`.
    pub subpath: Option<&'a str>,
    /// What to do with things that are there already.
    pub existing: Existing,
    /// Let files called `.wh.NAME` remove `NAME` from what is there (`--whiteouts`).
    pub whiteouts: bool,
    /// Fail where a file that could be linked would have to be copied (`--require-hardlinks`).
    pub require_hardlinks: bool,
    /// Keep unpacked files of an archive for later checkouts in user mode.
    pub cache: bool,
    /// Turn files called `.ostree-wh.NAME` into overlayfs whiteouts `NAME` (character devices 0:0).
    pub passthrough_whiteouts: bool,
    /// Leave these out, with everything below them; paths begin with a slash, which stands for the root of
    /// the checkout (`--skip-list`).
    pub skip: Option<&'a BTreeSet<PathBuf>>,
    /// Drop bits of directories that bare-user-only repositories cannot hold (`--bareuseronly-dirs`).
    pub user_only_dirs: bool,
    /// Give copies the SELinux label of another place; only together with `force_copy`.
    pub relabel: Option<Relabel<'a>>,
    /// How many threads to use; as many as the machine runs at once when `None`.
    pub threads: Option<NonZeroUsize>,
}

/// What to do when something is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// Fail.
    #[default]
    Refuse,
    /// Keep directories with their attributes, replace anything else (`--union`).
    Union,
    /// Keep everything that is there (`--union-add`).
    Add,
    /// Keep what is the same, fail when something differs (`--union-identical`).
    Identical,
}

/// Labels for copies that will stand elsewhere than in the tree.
#[derive(Clone, Copy)]
pub struct Relabel<'a> {
    /// The path that stands for the root of the checkout, for example `/etc`.
    pub prefix: &'a str,
    /// The label of a path with this mode (type bits included), if it has one.
    pub label: &'a LabelFn<'a>,
}

/// Looks up a label.
pub type LabelFn<'a> = dyn Fn(&[u8], u32) -> Option<Vec<u8>> + Sync + 'a;

impl std::fmt::Debug for Relabel<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relabel")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// What a checkout did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckoutStats {
    /// Directories made.
    pub directories: u64,
    /// Files and symbolic links that were linked.
    pub linked: u64,
    /// Files and symbolic links that were copied.
    pub copied: u64,
    /// Bytes of the copied files.
    pub copied_bytes: u64,
}

impl Repo {
    /// Check out `commit`, or a directory of it, as `name` below `into`. A file of it is put into the
    /// directory `name`, which may be there already.
    ///
    /// Nothing is synced; progress counts files.
    ///
    /// # Errors
    /// [`CheckoutError`]. What was made until then stays: remove it, or call again with
    /// [`Existing::Union`].
    pub fn checkout(
        &self,
        commit: &Checksum,
        into: BorrowedFd<'_>,
        name: &Path,
        options: &CheckoutOptions<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<CheckoutStats, CheckoutError> {
        let path = options.subpath.unwrap_or_default();
        let place = (into, name);
        if let Some((contents, meta)) = self.subtree(commit, path)? {
            let what = walk::What::Dir { contents, meta };
            return walk::check_out(self, place, what, options, progress, interrupt);
        }
        let file = self.file_in_tree(commit, path)?;
        let file = file.ok_or_else(|| CheckoutError::NoSuchDirectory {
            commit: *commit,
            path: path.to_owned(),
        })?;
        let what = walk::What::File {
            name: path.rsplit('/').next().unwrap_or(path),
            checksum: file,
        };
        walk::check_out(self, place, what, options, progress, interrupt)
    }

    /// The file or link at `path` in a commit; links are not followed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn file_in_tree(
        &self,
        commit: &Checksum,
        path: &str,
    ) -> Result<Option<Checksum>, ReadError> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some((contents, _)) = self.subtree(commit, dir)? else {
            return Ok(None);
        };
        let files = self.load_dirtree(&contents)?.files;
        Ok(files
            .into_iter()
            .find(|(file, _)| file == name)
            .map(|(_, id)| id))
    }

    /// The dirtree and dirmeta of the directory at `path` in a commit; `None` when there is no
    /// directory. Symbolic links are not followed.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn subtree(
        &self,
        commit: &Checksum,
        path: &str,
    ) -> Result<Option<(Checksum, Checksum)>, ReadError> {
        let commit = self.load_commit(commit)?;
        let mut found = (commit.contents, commit.meta);
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let tree = self.load_dirtree(&found.0)?;
            match tree.dirs.iter().find(|dir| dir.name == part) {
                Some(dir) => found = (dir.contents, dir.meta),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }
}
