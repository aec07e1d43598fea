//! How much of anything from outside is read into memory.

/// Longest manifest or index document, in bytes; registries enforce the same (distribution
/// specification, "Pushing manifests": at least 4 MiB must be accepted).
pub const MANIFEST: u64 = 4 << 20;
/// Longest image configuration, in bytes.
pub const CONFIG: u64 = 8 << 20;
/// Longest `oci-layout` file, in bytes.
pub const LAYOUT_MARKER: u64 = 64 << 10;
/// Longest credentials file, in bytes.
pub const AUTH_FILE: u64 = 1 << 20;
/// Longest file with certificates for a registry, in bytes.
pub const CERTIFICATES: u64 = 8 << 20;
/// Longest answer of a token server, in bytes.
pub const TOKEN: u64 = 1 << 20;
/// How much of a registry's error answer is looked at, in bytes.
pub const ERROR_BODY: u64 = 16 << 10;
/// How deep an index may refer to further indexes.
pub const NESTED_INDEXES: usize = 4;
/// How many redirects one request may follow.
pub const REDIRECTS: usize = 8;
/// How many entries an image archive may have.
pub const ARCHIVE_ENTRIES: usize = 100_000;
