//! From the archive of a layer to the files of one.

use containers::{EntryProblem, LayerWriter, NodeAttributes, NodeKind};
use layer::{Entry, EntryKind, Special, Tap, TapContent, TapError};
use ostree_format::Checksum;

/// Takes in the archive of a layer.
pub(crate) struct Splitter(pub(crate) LayerWriter);

fn told<T>(result: Result<T, EntryProblem>) -> Result<T, Box<TapError>> {
    result.map_err(TapError::new)
}

impl Tap for Splitter {
    fn header(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        told(self.0.bytes(bytes))
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Box<TapError>> {
        let xattrs = entry.xattrs.iter();
        let xattrs: Vec<_> = xattrs
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        let attributes = NodeAttributes {
            permissions: entry.permissions,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: &xattrs,
        };
        told(self.0.entry(&entry.path, kind(entry), &attributes))
    }

    fn begin(&mut self, _: TapContent, _: u64) -> Result<(), Box<TapError>> {
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        told(self.0.content(bytes))
    }

    fn end(&mut self) -> Result<(), Box<TapError>> {
        told(self.0.end_content())
    }

    fn padding(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        told(self.0.bytes(bytes))
    }

    fn stored(&mut self, _: Checksum) {}
}

fn kind(entry: &Entry) -> NodeKind<'_> {
    match entry.kind {
        EntryKind::File => NodeKind::File {
            is_whole: entry.is_plain && entry.regions.is_none(),
            size: entry.size,
            regions: entry.regions.as_deref().unwrap_or_default(),
        },
        EntryKind::Dir => NodeKind::Dir,
        EntryKind::Symlink => NodeKind::Symlink(&entry.link),
        EntryKind::HardLink => NodeKind::HardLink(&entry.link),
        EntryKind::Special(Special::Character(major, minor)) => NodeKind::Character(major, minor),
        EntryKind::Special(Special::Block(major, minor)) => NodeKind::Block(major, minor),
        EntryKind::Special(Special::Fifo) => NodeKind::Fifo,
    }
}
