//! A system's tree as something to look files up in: a commit that is not checked out yet, or the
//! directory of a deployment.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, OwnedFd};

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::dir;

/// How many links may stand one behind the other, as in the kernel.
const MAX_LINKS: usize = 40;

/// Largest text file that is read whole.
const MAX_TEXT: u64 = 1024 * 1024;

/// The size of a file, and its content.
pub(crate) type Opened = (u64, Box<dyn Read>);

/// Looks files up. Links are followed, but never out of the tree.
pub(crate) trait Source {
    /// Names in the directory at `path`, each with whether it is a directory itself, sorted by bytes;
    /// `None` when there is no such directory.
    fn names(&self, path: &str) -> Result<Option<Vec<(String, bool)>>, SourceError>;

    /// The regular file at `path` and its size; `None` when there is no such file.
    fn open(&self, path: &str) -> Result<Option<Opened>, SourceError>;

    /// The text of the file at `path`; what is not UTF-8 in it is replaced.
    fn text(&self, path: &str) -> Result<Option<String>, SourceError> {
        let Some((_, content)) = self.open(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        content
            .take(MAX_TEXT)
            .read_to_end(&mut bytes)
            .during("read", path)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Why a tree could not be looked into.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// An object could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for SourceError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// The directory of a deployment.
pub(crate) struct Directory(OwnedFd);

impl Directory {
    pub(crate) const fn new(root: OwnedFd) -> Self {
        Self(root)
    }

    fn open_in(&self, path: &str, flags: OFlags) -> Result<Option<OwnedFd>, durable::Error> {
        let flags = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error).during("open", path),
        }
    }
}

impl Source for Directory {
    fn names(&self, path: &str) -> Result<Option<Vec<(String, bool)>>, SourceError> {
        let Some(found) = self.open_in(path, OFlags::DIRECTORY)? else {
            return Ok(None);
        };
        let names = dir::names_below(found.as_fd(), ".")?;
        Ok(Some(
            names
                .into_iter()
                .map(|(name, kind)| (name, kind == FileType::Directory))
                .collect(),
        ))
    }

    fn open(&self, path: &str) -> Result<Option<Opened>, SourceError> {
        let Some(found) = self.open_in(path, OFlags::empty())? else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(&found).during("look at", path)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        Ok(Some((size, Box::new(File::from(found)))))
    }
}

/// A commit in a repository.
pub(crate) struct Committed<'a> {
    repo: &'a Repo,
    root: Checksum,
}

/// What a path of a commit leads to.
enum Found {
    Directory(Checksum),
    File(Checksum),
}

impl<'a> Committed<'a> {
    /// `root` is the dirtree of the commit.
    pub(crate) const fn new(repo: &'a Repo, root: Checksum) -> Self {
        Self { repo, root }
    }

    /// Walk `path` from the root; links restart the walk where they stand.
    fn find(&self, path: &str) -> Result<Option<Found>, ReadError> {
        let mut ahead = parts(path);
        let mut above = vec![self.root];
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                above.truncate(above.len().saturating_sub(1).max(1));
                continue;
            }
            let tree = self.repo.load_dirtree(above.last().unwrap_or(&self.root))?;
            if let Some(entry) = tree.dirs.iter().find(|entry| entry.name == part) {
                above.push(entry.contents);
                continue;
            }
            let Some((_, file)) = tree.files.iter().find(|(name, _)| *name == part) else {
                return Ok(None);
            };
            let Some(target) = self.repo.load_file_header(file)?.symlink else {
                return Ok(ahead.is_empty().then_some(Found::File(*file)));
            };
            links += 1;
            if links > MAX_LINKS {
                return Ok(None);
            }
            if target.starts_with('/') {
                above.truncate(1);
            }
            ahead = parts(&target).into_iter().chain(ahead).collect();
        }
        Ok(above.pop().map(Found::Directory))
    }
}

fn parts(path: &str) -> VecDeque<String> {
    let parts = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".");
    parts.map(ToOwned::to_owned).collect()
}

impl Source for Committed<'_> {
    fn names(&self, path: &str) -> Result<Option<Vec<(String, bool)>>, SourceError> {
        let Some(Found::Directory(contents)) = self.find(path)? else {
            return Ok(None);
        };
        let tree = self.repo.load_dirtree(&contents)?;
        let files = tree.files.into_iter().map(|(name, _)| (name, false));
        let dirs = tree.dirs.into_iter().map(|entry| (entry.name, true));
        let mut names: Vec<_> = files.chain(dirs).collect();
        names.sort_unstable();
        Ok(Some(names))
    }

    fn open(&self, path: &str) -> Result<Option<Opened>, SourceError> {
        let Some(Found::File(file)) = self.find(path)? else {
            return Ok(None);
        };
        let object = self.repo.open_file(&file)?;
        Ok(Some((object.size, Box::new(object.content))))
    }
}
