//! What a pull did.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a pull did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Whether the remote is on this machine.
    pub local: bool,
    /// Metadata objects that were fetched.
    pub fetched_metadata: u64,
    /// Content objects that were fetched.
    pub fetched_content: u64,
    /// Metadata objects that came from a repository on this machine.
    pub imported_metadata: u64,
    /// Content objects that came from a repository on this machine.
    pub imported_content: u64,
    /// Parts of static deltas that were fetched or already applied.
    pub delta_parts: u64,
    /// Superblocks and indexes of static deltas that were fetched.
    pub delta_files: u64,
    /// Bytes of content that static deltas made, unpacked; not counted in `content_written`.
    pub delta_content: u64,
    /// All parts of the static deltas, and the objects that are fetched beside them.
    pub delta_parts_total: u64,
    /// Bytes of parts that need not be fetched.
    pub delta_bytes_here: u64,
    /// Bytes of all parts.
    pub delta_bytes: u64,
    /// Bytes of all parts, unpacked.
    pub delta_bytes_unpacked: u64,
    /// Bytes that came over the network.
    pub transferred: u64,
    /// Bytes of content that were written, unpacked.
    pub content_written: u64,
}

/// As [`Report`], counted by several threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) fetched_metadata: AtomicU64,
    pub(crate) fetched_content: AtomicU64,
    pub(crate) imported_metadata: AtomicU64,
    pub(crate) imported_content: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) delta_files: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn report(&self, local: bool) -> Report {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Report {
            local,
            fetched_metadata: get(&self.fetched_metadata),
            fetched_content: get(&self.fetched_content),
            imported_metadata: get(&self.imported_metadata),
            imported_content: get(&self.imported_content),
            transferred: get(&self.received),
            delta_files: get(&self.delta_files),
            ..Report::default()
        }
    }
}

/// The counts of objects, in the words of `ostree pull`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (meta, content) = (self.imported_metadata, self.imported_content);
        if self.local {
            return write!(f, "{meta} metadata, {content} content objects imported");
        }
        if self.delta_parts > 0 {
            let loose = self.fetched_metadata + self.fetched_content + self.delta_files;
            write!(f, "{} delta parts, {loose} loose fetched", self.delta_parts)?;
        } else {
            let (metadata, content) = (self.fetched_metadata, self.fetched_content);
            write!(f, "{metadata} metadata, {content} content objects fetched")?;
        }
        if meta > 0 || content > 0 {
            write!(f, " ({meta} meta, {content} content local)")?;
        }
        Ok(())
    }
}
