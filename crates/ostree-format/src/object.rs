use std::fmt;
use std::str::FromStr;

use crate::Checksum;

/// How a repository stores content objects (`[core] mode` in its config).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RepoMode {
    /// Files carry their real owner, mode and extended attributes.
    Bare,
    /// Files belong to the user; the real metadata is in the attribute `user.ostreemeta`.
    BareUser,
    /// Files belong to the user; owner and extended attributes are not kept.
    BareUserOnly,
    /// Files are compressed (`.filez`) and carry their metadata in front.
    Archive,
    /// Files carry owner and mode; extended attributes are objects of their own.
    BareSplitXattrs,
}

impl RepoMode {
    /// The name in the repository's config.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareUser => "bare-user",
            Self::BareUserOnly => "bare-user-only",
            Self::Archive => "archive-z2",
            Self::BareSplitXattrs => "bare-split-xattrs",
        }
    }
}

impl fmt::Display for RepoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A repository mode that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a repository mode: bare, bare-user, bare-user-only, archive or bare-split-xattrs"
)]
pub struct UnknownRepoMode(pub String);

impl FromStr for RepoMode {
    type Err = UnknownRepoMode;

    fn from_str(name: &str) -> Result<Self, UnknownRepoMode> {
        Ok(match name {
            "bare" => Self::Bare,
            "bare-user" => Self::BareUser,
            "bare-user-only" => Self::BareUserOnly,
            "archive" | "archive-z2" => Self::Archive,
            "bare-split-xattrs" => Self::BareSplitXattrs,
            _ => return Err(UnknownRepoMode(name.to_owned())),
        })
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A regular file or a symbolic link.
    File,
    /// The names in a directory.
    DirTree,
    /// Owner, mode and attributes of a directory.
    DirMeta,
    /// A commit.
    Commit,
    /// A commit that was deleted on purpose.
    TombstoneCommit,
    /// Detached metadata of a commit.
    CommitMeta,
    /// A link from the hash of a payload to an object with that payload.
    PayloadLink,
    /// Extended attributes of files (split-xattrs mode).
    FileXattrs,
    /// From a file to its extended attributes (split-xattrs mode).
    FileXattrsLink,
}

impl ObjectKind {
    /// Every kind, in libostree's order.
    pub const ALL: [Self; 9] = [
        Self::File,
        Self::DirTree,
        Self::DirMeta,
        Self::Commit,
        Self::TombstoneCommit,
        Self::CommitMeta,
        Self::PayloadLink,
        Self::FileXattrs,
        Self::FileXattrsLink,
    ];

    /// The name as libostree prints it; also the extension of a loose object, but for content in archives.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::DirTree => "dirtree",
            Self::DirMeta => "dirmeta",
            Self::Commit => "commit",
            Self::TombstoneCommit => "tombstone-commit",
            Self::CommitMeta => "commitmeta",
            Self::PayloadLink => "payload-link",
            Self::FileXattrs => "file-xattrs",
            Self::FileXattrsLink => "file-xattrs-link",
        }
    }

    /// The extension of a loose object in a repository of `mode`.
    #[must_use]
    pub const fn extension(self, mode: RepoMode) -> &'static str {
        match (self, mode) {
            (Self::File, RepoMode::Archive) => "filez",
            _ => self.name(),
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the object is a GVariant that is hashed as it is stored.
    #[must_use]
    pub const fn is_metadata(self) -> bool {
        matches!(
            self,
            Self::DirTree | Self::DirMeta | Self::Commit | Self::TombstoneCommit | Self::CommitMeta
        )
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The full name of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its checksum.
    pub checksum: Checksum,
    /// Its kind.
    pub kind: ObjectKind,
}

impl ObjectName {
    /// Name an object.
    #[must_use]
    pub const fn new(checksum: Checksum, kind: ObjectKind) -> Self {
        Self { checksum, kind }
    }

    /// Path below `objects/`: `xx/yyyy.kind`.
    #[must_use]
    pub fn loose_path(&self, mode: RepoMode) -> String {
        let hex = self.checksum.to_string();
        let (head, tail) = hex.split_at(2);
        format!("{head}/{tail}.{}", self.kind.extension(mode))
    }

    /// The object that a loose file below `objects/` holds: `head` is the directory, `file` the name.
    #[must_use]
    pub fn from_loose(head: &str, file: &str) -> Option<Self> {
        let (tail, extension) = file.split_once('.')?;
        let kind = match extension {
            "filez" => ObjectKind::File,
            other => ObjectKind::from_name(other)?,
        };
        let checksum = format!("{head}{tail}").parse().ok()?;
        Some(Self { checksum, kind })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.checksum, self.kind)
    }
}
