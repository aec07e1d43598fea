//! OSTree's formats: bytes in, values out. Touches no disk.
//!
//! The layouts are those of libostree's `ostree-core.h` (`OSTREE_*_GVARIANT_FORMAT`) and of its
//! repository documentation ("Anatomy of an OSTree repository"). Every type here has `to_bytes` and
//! `from_bytes`; `from_bytes` accepts only the bytes that `to_bytes` would produce (GVariant normal
//! form), because an object that does not encode back to itself would have two names.

mod checksum;
mod commit;
mod dirmeta;
mod dirtree;
mod error;
mod file_header;
pub mod gvariant;
pub mod keyfile;
pub mod limits;
mod object;
pub mod refs;
mod xattrs;

pub use checksum::{Checksum, ChecksumError, Hasher};
pub use commit::{Commit, Metadata};
pub use dirmeta::DirMeta;
pub use dirtree::{DirEntry, DirTree};
pub use error::FormatError;
pub use file_header::FileHeader;
pub use object::{ObjectKind, ObjectName, RepoMode};
pub use xattrs::Xattrs;

/// File type bits of `st_mode`, as stored in OSTree metadata.
pub mod mode {
    /// Mask of the file type.
    pub const S_IFMT: u32 = 0o170_000;
    /// A directory.
    pub const S_IFDIR: u32 = 0o040_000;
    /// A regular file.
    pub const S_IFREG: u32 = 0o100_000;
    /// A symbolic link.
    pub const S_IFLNK: u32 = 0o120_000;

    /// Whether `mode` says directory.
    #[must_use]
    pub const fn is_dir(mode: u32) -> bool {
        mode & S_IFMT == S_IFDIR
    }

    /// Whether `mode` says regular file.
    #[must_use]
    pub const fn is_regular(mode: u32) -> bool {
        mode & S_IFMT == S_IFREG
    }

    /// Whether `mode` says symbolic link.
    #[must_use]
    pub const fn is_symlink(mode: u32) -> bool {
        mode & S_IFMT == S_IFLNK
    }
}
