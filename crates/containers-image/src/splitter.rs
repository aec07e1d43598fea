//! From the archive of a layer to the files of one.

use std::fmt;
use std::fs::File;
use std::sync::Arc;

use containers::{Elsewhere, EntryProblem, LayerWriter, NodeAttributes, NodeKind};
use layer::{Entry, EntryKind, Special, Tap, TapContent, TapError};
use oci::source::ArchiveFiles;
use ostree_format::Checksum;

/// A store that has files of an image as they are in its layers.
pub trait FilesOfImage: fmt::Debug + Sync {
    /// The file that may have the content of an entry, by the path and the size that the archive tells.
    fn file_of(&self, path: &[u8], size: u64) -> Option<File>;
}

/// Takes in the archive of a layer.
pub(crate) struct Splitter<'a> {
    pub(crate) writer: LayerWriter,
    /// What the archive is made of.
    pub(crate) files: Option<Arc<dyn ArchiveFiles>>,
    pub(crate) image: Option<&'a dyn FilesOfImage>,
}

impl Splitter<'_> {
    /// Another file with the content that comes now.
    fn elsewhere(&self, entry: &Entry) -> Option<Elsewhere> {
        if !matches!(entry.kind, EntryKind::File) || entry.size == 0 {
            return None;
        }
        let of_archive = self.files.as_ref().and_then(|files| {
            let file = files.file_at(self.writer.position())?;
            let is_content = files.are_contents();
            Some(Elsewhere { file, is_content })
        });
        of_archive.or_else(|| {
            let file = self.image?.file_of(&entry.path, entry.size)?;
            let is_content = false;
            Some(Elsewhere { file, is_content })
        })
    }
}

fn told<T>(result: Result<T, EntryProblem>) -> Result<T, Box<TapError>> {
    result.map_err(TapError::new)
}

impl Tap for Splitter<'_> {
    fn header(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        told(self.writer.bytes(bytes))
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
        let elsewhere = self.elsewhere(entry);
        let (path, kind) = (&entry.path, kind(entry));
        told(self.writer.entry(path, kind, &attributes, elsewhere))
    }

    fn begin(&mut self, _: TapContent, _: u64) -> Result<(), Box<TapError>> {
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        told(self.writer.content(bytes))
    }

    fn end(&mut self) -> Result<(), Box<TapError>> {
        told(self.writer.end_content())
    }

    fn padding(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        told(self.writer.bytes(bytes))
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
