//! Where keys are kept, and reading them.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use durable::IoContext as _;
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::TrustError;

/// Largest keyring or key file that is read.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// Where keys are looked for. Every path, also an absolute one in a config, is below one directory:
/// `/` on a host.
#[derive(Debug)]
pub struct KeyStores {
    root: OwnedFd,
    keyrings: PathBuf,
    remotes: Option<PathBuf>,
    dummy: bool,
}

impl KeyStores {
    /// The usual places below `root`.
    #[must_use]
    pub fn new(root: OwnedFd) -> Self {
        Self {
            root,
            keyrings: "usr/share/ostree/trusted.gpg.d".into(),
            remotes: None,
            dummy: false,
        }
    }

    /// Look for GPG keyrings of the system in `dir` instead (`OSTREE_GPG_HOME`).
    #[must_use]
    pub fn with_keyrings(mut self, dir: impl Into<PathBuf>) -> Self {
        self.keyrings = dir.into();
        self
    }

    /// Look for keyrings of remotes in `dir`, too (`/etc/ostree/remotes.d`, for a system's repository).
    #[must_use]
    pub fn with_remotes(mut self, dir: impl Into<PathBuf>) -> Self {
        self.remotes = Some(dir.into());
        self
    }

    /// Allow signatures of the dummy kind, which prove nothing (`OSTREE_DUMMY_SIGN_ENABLED`).
    #[must_use]
    pub const fn with_dummy(mut self, allowed: bool) -> Self {
        self.dummy = allowed;
        self
    }

    /// Whether signatures of the dummy kind are allowed.
    #[must_use]
    pub const fn allows_dummy(&self) -> bool {
        self.dummy
    }

    /// Directory of the system's GPG keyrings.
    pub(crate) fn keyrings(&self) -> &Path {
        &self.keyrings
    }

    /// The keyring of this name beside the remotes that the administrator configured.
    pub(crate) fn remote_keyring(&self, name: &str) -> Result<Option<Vec<u8>>, TrustError> {
        match &self.remotes {
            Some(dir) => self.read_optional(&dir.join(name)),
            None => Ok(None),
        }
    }

    /// A file that must be there.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, TrustError> {
        let missing = || Err(Errno::NOENT).during("open", path);
        let found = durable::read_optional(self.root.as_fd(), below(path), MAX_FILE);
        found
            .and_then(|bytes| bytes.map_or_else(missing, Ok))
            .map_err(|source| io(path, source))
    }

    pub(crate) fn read_optional(&self, path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
        durable::read_optional(self.root.as_fd(), below(path), MAX_FILE)
            .map_err(|source| io(path, source))
    }

    /// What is in a directory; `None` when there is none, or it is something else.
    pub(crate) fn list(&self, path: &Path) -> Result<Option<Vec<PathBuf>>, TrustError> {
        let names = regular_files(self.root.as_fd(), below(path));
        let names = names.map_err(|source| io(path, source))?;
        Ok(names.map(|names| names.iter().map(|name| path.join(name)).collect()))
    }
}

pub(crate) fn io(path: &Path, source: durable::Error) -> TrustError {
    TrustError::Io {
        path: path.display().to_string(),
        source,
    }
}

fn below(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// The names of the regular files of a directory, sorted; `None` when it does not exist or is no
/// directory.
pub(crate) fn regular_files(
    base: BorrowedFd<'_>,
    path: &Path,
) -> Result<Option<Vec<String>>, durable::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::openat(base, path, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        other => other.during("open", path)?,
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&dir).during("list", path)? {
        let entry = entry.during("list", path)?;
        if is_regular(&dir, &entry).during("examine", path)? {
            names.extend(entry.file_name().to_str().ok().map(str::to_owned));
        }
    }
    names.sort();
    Ok(Some(names))
}

/// Not every file system tells the type in the listing.
fn is_regular(dir: &OwnedFd, entry: &rustix::fs::DirEntry) -> Result<bool, Errno> {
    let kind = match entry.file_type() {
        FileType::Unknown => {
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            let stat = rustix::fs::statat(dir, entry.file_name(), flags)?;
            FileType::from_raw_mode(stat.st_mode)
        }
        known => known,
    };
    Ok(kind == FileType::RegularFile)
}
