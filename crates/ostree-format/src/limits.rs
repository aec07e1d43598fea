//! Upper bounds on what is read from outside.

/// Largest metadata object (commit, dirtree, dirmeta): libostree's `OSTREE_MAX_METADATA_SIZE`.
pub const MAX_METADATA_SIZE: u64 = 128 * 1024 * 1024;

/// Size above which libostree warns about a metadata object (`OSTREE_MAX_METADATA_WARN_SIZE`).
pub const WARN_METADATA_SIZE: u64 = 7 * 1024 * 1024;

/// Deepest directory nesting that a tree may have: libostree's `OSTREE_MAX_RECURSION`.
pub const MAX_DEPTH: usize = 256;

/// Longest name of one directory entry, in bytes (the kernel's `NAME_MAX`).
pub const MAX_NAME: usize = 255;

/// Longest symbolic link target, in bytes (the kernel's `PATH_MAX`, less the terminator).
pub const MAX_SYMLINK_TARGET: usize = 4095;

/// Largest file of a static delta, which may be a whole commit in one part or even in the superblock.
pub const MAX_DELTA_FILE: u64 = 8 * 1024 * 1024 * 1024;
