//! The SELinux policy that a tree carries.

use std::os::fd::BorrowedFd;
use std::path::Path;

use error_class::{Classified, ErrorClass};
use file_contexts::{Config, ConfigError, ParseError, Policy};
use ostree::{ReadError, Repo, Tree};
use ostree_format::Checksum;

use crate::tree_files;

/// Largest policy file that is read.
const MAX_POLICY_FILE: u64 = 64 * 1024 * 1024;

/// Why the policy of an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The configuration is malformed.
    #[error("the image's usr/etc/selinux/config is malformed: {0}")]
    Config(#[from] ConfigError),
    /// The file contexts are malformed.
    #[error("the image's SELinux policy is malformed: {0}")]
    Contexts(#[from] ParseError),
    /// A file cannot be read.
    #[error("cannot read {path} of the image: {source}")]
    Read {
        /// The path in the image.
        path: String,
        /// Why.
        source: ReadError,
    },
}

impl Classified for PolicyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Config(_) | Self::Contexts(_) => ErrorClass::InvalidInput,
            Self::Read { source, .. } => source.class(),
        }
    }
}

/// The policy that a commit says its files are labelled by, if any. Reads only what lies on the way.
///
/// # Errors
/// [`PolicyError`].
pub fn policy_of_commit(repo: &Repo, commit: &Checksum) -> Result<Option<Policy>, PolicyError> {
    let failed = |source| PolicyError::Read {
        path: Config::PATH.to_owned(),
        source,
    };
    let root = repo.load_commit(commit).map_err(failed)?.contents;
    policy(repo, &|path| tree_files::find(repo, root, path))
}

/// The policy that the root in a directory says its files are labelled by, if any.
///
/// # Errors
/// [`PolicyError`].
pub fn policy_of_directory(root: BorrowedFd<'_>) -> Result<Option<Policy>, PolicyError> {
    Policy::of_tree(|path| file_in_directory(root, path))
}

/// A file of a directory, by its path in the commit that would be made of it.
fn file_in_directory(root: BorrowedFd<'_>, path: &str) -> Result<Option<Vec<u8>>, PolicyError> {
    let read = |path: &str| {
        let read = durable::read_optional(root, Path::new(path), MAX_POLICY_FILE);
        read.map_err(|error| PolicyError::Read {
            path: path.to_owned(),
            source: ReadError::from(error),
        })
    };
    match (read(path)?, path.strip_prefix("usr/")) {
        (None, Some(plain)) if plain.starts_with("etc/") => read(plain),
        (found, _) => Ok(found),
    }
}

/// The policy that `root` says its files are labelled by, if any.
pub(crate) fn policy_of(repo: &Repo, root: &Tree) -> Result<Option<Policy>, PolicyError> {
    policy(repo, &|path| Ok(find_in_tree(root, path)))
}

/// The content of the file at `path` of a tree, if there is one.
pub(crate) fn read(repo: &Repo, root: &Tree, path: &str) -> Result<Option<Vec<u8>>, PolicyError> {
    read_found(repo, &|path| Ok(find_in_tree(root, path)), path)
}

/// Finds the content object of a path.
type Find<'a> = &'a dyn Fn(&str) -> Result<Option<Checksum>, ReadError>;

fn find_in_tree(root: &Tree, path: &str) -> Option<Checksum> {
    root.get(path.split('/').map(str::as_bytes))?
        .as_leaf()
        .copied()
}

fn policy(repo: &Repo, find: Find<'_>) -> Result<Option<Policy>, PolicyError> {
    Policy::of_tree(|path| read_found(repo, find, path))
}

fn read_found(repo: &Repo, find: Find<'_>, path: &str) -> Result<Option<Vec<u8>>, PolicyError> {
    let failed = |source| PolicyError::Read {
        path: path.to_owned(),
        source,
    };
    let Some(checksum) = find(path).map_err(failed)? else {
        return Ok(None);
    };
    let bytes = tree_files::content(repo, &checksum, MAX_POLICY_FILE).map_err(failed)?;
    Ok(Some(bytes))
}
