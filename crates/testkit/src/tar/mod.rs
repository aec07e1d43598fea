//! Tar archives with full control over every header: ordinary, nasty and hostile ones.
//!
//! [`TarWriter`] writes what it is told and checks nothing. The formats are POSIX.1-1988 ustar,
//! the PAX extended headers of POSIX.1-2001 (`pax`, section "pax Interchange Format"), and GNU
//! tar's long names and old sparse format (GNU tar manual, appendix "Tar Internals").

mod entry;
mod header;
mod sparse;

pub use entry::{Entry, LongNames};
pub use header::{BLOCK, Magic};
pub use sparse::Sparse;

/// Collects entries into one archive in memory.
#[derive(Debug, Default, Clone)]
pub struct TarWriter {
    bytes: Vec<u8>,
}

impl TarWriter {
    /// An empty archive.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry with all its extension headers, content and padding.
    #[must_use]
    pub fn entry(mut self, entry: &Entry) -> Self {
        entry.write(&mut self.bytes);
        self
    }

    /// Appends a directory owned by root.
    #[must_use]
    pub fn dir(self, path: impl AsRef<[u8]>, mode: u32) -> Self {
        self.entry(&Entry::dir(path).mode(mode))
    }

    /// Appends a regular file owned by root.
    #[must_use]
    pub fn file(self, path: impl AsRef<[u8]>, mode: u32, content: impl AsRef<[u8]>) -> Self {
        self.entry(&Entry::file(path, content).mode(mode))
    }

    /// Appends a symbolic link.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(&Entry::symlink(path, target))
    }

    /// Appends a hard link to `target`, a path in this archive or a layer below.
    #[must_use]
    pub fn hardlink(self, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.entry(&Entry::hardlink(path, target))
    }

    /// Appends a global PAX header (type `g`) with these records.
    #[must_use]
    pub fn pax_global(mut self, records: &[(&str, &str)]) -> Self {
        let records = records
            .iter()
            .map(|(key, value)| (key.as_bytes(), value.as_bytes()));
        entry::write_extension(&mut self.bytes, b'g', &entry::pax_records(records));
        self
    }

    /// Appends bytes as they are: broken headers, truncated entries, trailing garbage.
    #[must_use]
    pub fn raw(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.bytes.extend_from_slice(bytes.as_ref());
        self
    }

    /// The archive with the two zero blocks that end it.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    /// The archive without an end marker, as if the stream had been cut off between entries.
    pub fn finish_without_end(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
