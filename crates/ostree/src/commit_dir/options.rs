//! What is changed on the way from the file system to the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ostree_format::{DirMeta, FileHeader, Xattrs, mode};
use rustix::fs::Stat;

use super::{CommitDirError, DevInoCache};
use crate::content::SELINUX;

/// Choices of [`crate::Transaction::write_directory`]. Paths have a leading slash.
#[derive(Clone, Default)]
pub struct CommitDirOptions<'a> {
    /// Owner of everything (`--owner-uid`).
    pub uid: Option<u32>,
    /// Group of everything (`--owner-gid`).
    pub gid: Option<u32>,
    /// Root owns everything, no attributes, no set-id, sticky or shared write bits
    /// (`--canonical-permissions`). Repositories of mode bare-user-only are always written so.
    pub canonical_permissions: bool,
    /// Leave extended attributes out (`--no-xattrs`).
    pub skip_xattrs: bool,
    /// No write bits on executables (`--mode-ro-executables`).
    pub ro_executables: bool,
    /// Mode bits that are added to files and the root (`--statoverride` with lines `MODE PATH`); as
    /// with `ostree commit`, without effect on other directories.
    pub mode_add: BTreeMap<PathBuf, u32>,
    /// Modes that are set (`--statoverride` with lines `=MODE PATH`).
    pub mode_set: BTreeMap<PathBuf, u32>,
    /// What is left out (`--skip-list`).
    pub skip: BTreeSet<PathBuf>,
    /// SELinux labels, which replace those that are there.
    pub label: Option<&'a LabelledPath<'a>>,
    /// Fail when there is no label for something.
    pub require_label: bool,
    /// Objects that files may be hard links of: unchanged ones are not read again.
    pub devino: Option<&'a DevInoCache>,
    /// Trust links to objects without looking at owner, mode and attributes (`--devino-canonical`).
    pub devino_canonical: bool,
    /// Nobody needs the files any more (`--consume`): those that are stored as they are become the objects.
    pub consume: bool,
    /// Write nothing, and do as if the repository could hold everything: only the checksums are wanted.
    pub checksums_only: bool,
    /// How many threads to use; as many as the machine runs at once when `None`.
    pub threads: Option<NonZeroUsize>,
}

/// Looks up the label of a path with this mode (type bits included).
pub type LabelledPath<'a> = dyn Fn(&Path, u32) -> Option<Vec<u8>> + Sync + 'a;

/// What the options named and the directory did not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unmatched {
    /// Of [`CommitDirOptions::mode_add`] and [`CommitDirOptions::mode_set`].
    pub modes: Vec<PathBuf>,
    /// Of [`CommitDirOptions::skip`].
    pub skips: Vec<PathBuf>,
}

impl std::fmt::Debug for CommitDirOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitDirOptions")
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .field("canonical_permissions", &self.canonical_permissions)
            .field("skip_xattrs", &self.skip_xattrs)
            .field("skip", &self.skip)
            .finish_non_exhaustive()
    }
}

/// Paths of the options that were met.
#[derive(Debug, Default)]
pub(super) struct Applied {
    pub(super) modes: BTreeSet<PathBuf>,
    pub(super) skips: BTreeSet<PathBuf>,
}

/// Owner and mode, with the type bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ownership {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Ownership {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode,
        }
    }

    /// As a directory has it.
    pub(super) fn dirmeta(self, xattrs: Xattrs) -> DirMeta {
        DirMeta {
            uid: self.uid,
            gid: self.gid,
            mode: mode::S_IFDIR | self.mode & 0o7777,
            xattrs,
        }
    }

    /// As a file or symbolic link has it.
    pub(super) fn header(self, xattrs: Xattrs, symlink: Option<String>) -> FileHeader {
        FileHeader {
            uid: self.uid,
            gid: self.gid,
            mode: self.mode & (mode::S_IFMT | 0o7777),
            xattrs,
            symlink,
        }
    }
}

impl CommitDirOptions<'_> {
    pub(super) fn thread_count(&self) -> usize {
        let available = || std::thread::available_parallelism().ok();
        self.threads.or_else(available).map_or(1, usize::from)
    }

    /// What is stored for something that has `found` in the file system.
    pub(super) fn ownership(&self, path: &Path, found: Ownership, canonical: bool) -> Ownership {
        let mut mode = found.mode;
        if self.ro_executables && mode::is_regular(mode) && mode & 0o111 != 0 {
            mode &= !0o222;
        }
        // `ostree commit` crosses an added mode off its list before it comes to the directory itself,
        // so that only the root's ever had an effect; trees must not change their names here.
        let ignored = mode::is_dir(mode) && path != Path::new("/");
        if let Some(bits) = self.mode_add.get(path) {
            mode |= if ignored { 0 } else { *bits };
        } else if let Some(bits) = self.mode_set.get(path) {
            mode = mode & mode::S_IFMT | bits;
        }
        if canonical {
            let keep = if mode::is_symlink(mode) { 0o777 } else { 0o755 };
            return Ownership {
                uid: 0,
                gid: 0,
                mode: mode & (mode::S_IFMT | keep),
            };
        }
        Ownership {
            uid: self.uid.unwrap_or(found.uid),
            gid: self.gid.unwrap_or(found.gid),
            mode,
        }
    }

    /// The attributes that are stored for `path`; `read` is called when those of the file count.
    pub(super) fn stored_xattrs(
        &self,
        path: &Path,
        mode: u32,
        leave_out: bool,
        read: impl FnOnce() -> Result<Xattrs, durable::Error>,
    ) -> Result<Xattrs, CommitDirError> {
        let skip = self.skip_xattrs || leave_out;
        let mut xattrs = if skip { Xattrs::new() } else { read()? };
        if let Some(label) = self.label {
            match label(path, mode) {
                Some(label) => xattrs.insert(SELINUX, &label),
                None if self.require_label => {
                    let path = path.to_owned();
                    return Err(CommitDirError::Unlabelled { path });
                }
                None => {}
            }
        }
        Ok(xattrs)
    }

    /// Whether anything is to be changed.
    #[must_use]
    pub fn change_anything(&self) -> bool {
        self.uid.is_some()
            || self.gid.is_some()
            || self.canonical_permissions
            || self.skip_xattrs
            || self.ro_executables
            || self.label.is_some()
            || !(self.mode_add.is_empty() && self.mode_set.is_empty() && self.skip.is_empty())
    }

    /// Whether a path of the options is this one.
    pub(super) fn names_mode(&self, path: &Path) -> bool {
        self.mode_add.contains_key(path) || self.mode_set.contains_key(path)
    }

    pub(super) fn unmatched(&self, applied: &Applied) -> Unmatched {
        let modes = self.mode_add.keys().chain(self.mode_set.keys());
        Unmatched {
            modes: modes
                .filter(|p| !applied.modes.contains(*p))
                .cloned()
                .collect(),
            skips: self.skip.difference(&applied.skips).cloned().collect(),
        }
    }
}
