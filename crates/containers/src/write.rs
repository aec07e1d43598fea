//! Writing one layer: its files, and what its archive is made again from.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;

use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use rustix::fs::FileType;

use crate::lists::LayerRecord;

mod crc64;
mod elsewhere;
mod share;
mod split;
mod tree;

use crc64::Crc64;
use elsewhere::Comparison;
pub use elsewhere::Elsewhere;
use split::SplitWriter;
use tree::{Place, TreeWriter};

/// What everything in a layer has.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "what archives tell of an entry")]
pub struct NodeAttributes<'a> {
    /// The lower twelve bits of the mode.
    pub permissions: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// When it was changed last: seconds since 1970, and nanoseconds.
    pub mtime: (u64, u32),
    /// Extended attributes. A label of SELinux is passed over: the host's policy decides that.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// What stands in a layer.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "all that archives have")]
pub enum NodeKind<'a> {
    /// A file, whose content follows.
    File {
        /// Whether the archive has the content in one piece.
        is_whole: bool,
        /// Bytes of it, holes included.
        size: u64,
        /// Where the pieces belong that the archive has: offset and length.
        regions: &'a [(u64, u64)],
    },
    /// A directory.
    Dir,
    /// A symbolic link to this.
    Symlink(&'a [u8]),
    /// Another name of this.
    HardLink(&'a [u8]),
    /// A character device, by its numbers.
    Character(u32, u32),
    /// A block device, by its numbers.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// What is wrong with an entry of a layer, or why it cannot be stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// Its path goes up.
    #[error("its path contains \"..\"")]
    GoesUp,
    /// Something with content is there.
    #[error(
        "it stands where the layer has something already: podman's storage cannot keep both; build the layer without"
    )]
    Twice,
    /// It is another name of nothing.
    #[error("it is a hard link to something that is not there")]
    NoTarget,
    /// What is kept of the archive cannot be written.
    #[error("cannot write what is kept of the archive: {0}")]
    Split(#[source] io::Error),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for EntryProblem {
    fn class(&self) -> ErrorClass {
        match self {
            Self::GoesUp | Self::NoTarget => ErrorClass::InvalidInput,
            Self::Twice => ErrorClass::Unsupported,
            Self::Split(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// Writes a layer where nobody looks for it yet.
#[derive(Debug)]
pub struct LayerWriter {
    tree: TreeWriter,
    split: SplitWriter,
    current: Option<Current>,
    archive_size: u64,
    shared: u64,
    uids: BTreeSet<u32>,
    gids: BTreeSet<u32>,
}

/// The file whose content comes.
#[derive(Debug)]
struct Current {
    file: File,
    /// Nothing is written as long as another file has the same.
    comparison: Option<Comparison>,
    place: Place,
    name: Vec<u8>,
    /// The content's checksum, where that is all that the archive needs.
    checksum: Option<Crc64>,
    size: u64,
    /// Where pieces belong that are still to come.
    regions: Vec<(u64, u64)>,
    attributes: Owned,
}

/// Attributes, kept until the content is there.
#[derive(Debug)]
struct Owned {
    permissions: u32,
    uid: u32,
    gid: u32,
    mtime: (u64, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What was written of a layer that is complete.
#[derive(Debug)]
pub struct StagedLayer {
    pub(crate) record: LayerRecord,
    shared: u64,
}

/// What is known of a layer before it is there.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "what manifests tell of a layer")]
pub struct LayerOrigin {
    /// The digest of the blob, with the algorithm in front.
    pub blob_digest: String,
    /// Its bytes.
    pub blob_size: u64,
    /// How it is compressed: by gzip, zstd, or not at all.
    pub compression: BlobCompression,
    /// The digest of its archive, with the algorithm in front.
    pub diff_id: String,
}

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "what layers come in")]
pub enum BlobCompression {
    /// Not.
    None,
    /// By gzip.
    Gzip,
    /// By zstd.
    Zstd,
}

impl BlobCompression {
    /// As lists name it.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Gzip => 2,
            Self::Zstd => 4,
        }
    }
}

impl LayerWriter {
    pub(crate) fn new(root: OwnedFd, split: File, label: Option<Vec<u8>>) -> Self {
        Self {
            tree: TreeWriter::new(root, label),
            split: SplitWriter::new(split),
            current: None,
            archive_size: 0,
            shared: 0,
            uids: BTreeSet::new(),
            gids: BTreeSet::new(),
        }
    }

    /// Bytes of the archive that are no content: headers and padding.
    ///
    /// # Errors
    /// [`EntryProblem`].
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EntryProblem> {
        self.archive_size += bytes.len() as u64;
        self.split.bytes(bytes).map_err(EntryProblem::Split)
    }

    /// Bytes of the archive that have passed by.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.archive_size
    }

    /// The entry whose header has passed by. Of a file, `elsewhere` is one that may have the same content; then its bytes are
    /// shared, if that is possible: cloned where the file system can do that, or else by another name, if it has the very
    /// attributes of this one or those of a mere content, which become those of this one.
    ///
    /// # Errors
    /// [`EntryProblem`].
    pub fn entry(
        &mut self,
        path: &[u8],
        kind: NodeKind<'_>,
        attributes: &NodeAttributes<'_>,
        elsewhere: Option<Elsewhere>,
    ) -> Result<(), EntryProblem> {
        self.split.end_line().map_err(EntryProblem::Split)?;
        let place = Place::new(path)?;
        if !place.as_ref().is_some_and(Place::is_whiteout) {
            self.uids.insert(attributes.uid);
            self.gids.insert(attributes.gid);
        }
        let Some(place) = place else {
            // What the root is like is not decided by layers.
            return Ok(());
        };
        if place.is_whiteout() {
            return self.tree.whiteout(&place);
        }
        match kind {
            NodeKind::Dir => self.tree.directory(&place, attributes),
            NodeKind::Symlink(target) => self.tree.symlink(&place, target, attributes),
            NodeKind::HardLink(target) => {
                let target = Place::new(target)?.ok_or(EntryProblem::NoTarget)?;
                self.tree.hard_link(&place, &target, attributes)
            }
            NodeKind::Character(major, minor) => {
                let (kind, device) = (FileType::CharacterDevice, (major, minor));
                self.tree.special(&place, kind, device, attributes)
            }
            NodeKind::Block(major, minor) => {
                let (kind, device) = (FileType::BlockDevice, (major, minor));
                self.tree.special(&place, kind, device, attributes)
            }
            NodeKind::Fifo => self
                .tree
                .special(&place, FileType::Fifo, (0, 0), attributes),
            NodeKind::File {
                is_whole,
                size,
                regions,
            } => {
                let file = self.tree.file(&place)?;
                let elsewhere = elsewhere.filter(|_| is_whole);
                let mut regions = regions.to_vec();
                regions.reverse();
                self.current = Some(Current {
                    file,
                    comparison: elsewhere.and_then(|file| Comparison::begin(file, size)),
                    place,
                    name: path.to_vec(),
                    checksum: is_whole.then(Crc64::new),
                    size,
                    regions,
                    attributes: Owned::new(attributes),
                });
                Ok(())
            }
        }
    }

    /// The next bytes of the entry's content.
    ///
    /// # Errors
    /// [`EntryProblem`].
    pub fn content(&mut self, bytes: &[u8]) -> Result<(), EntryProblem> {
        self.archive_size += bytes.len() as u64;
        if let Some(current) = &mut self.current {
            current.write(bytes)?;
            if let Some(checksum) = &mut current.checksum {
                checksum.update(bytes);
                return Ok(());
            }
        }
        self.split.bytes(bytes).map_err(EntryProblem::Split)
    }

    /// The entry's content is complete.
    ///
    /// # Errors
    /// [`EntryProblem`].
    pub fn end_content(&mut self) -> Result<(), EntryProblem> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        if let Some(checksum) = current.checksum.filter(|_| current.size > 0) {
            let (name, checksum) = (&current.name, checksum.finish());
            let kept = self.split.file(name, current.size, checksum);
            kept.map_err(EntryProblem::Split)?;
        } else {
            let set = current.file.set_len(current.size);
            set.during("set the size of", current.path())?;
        }
        let (place, file) = (&current.place, &current.file);
        let attributes = current.attributes.borrowed();
        let Some(same) = &current.comparison else {
            return self.tree.seal(place, file, &attributes);
        };
        if self.tree.share(place, file, &same.elsewhere, &attributes)? {
            self.shared += current.size;
            return Ok(());
        }
        same.copy_to(file).during("write", current.path())?;
        self.tree.seal(place, file, &attributes)
    }

    /// The archive has passed by, and its digest is right.
    ///
    /// # Errors
    /// [`EntryProblem`].
    pub fn finish(self) -> Result<StagedLayer, EntryProblem> {
        self.tree.finish()?;
        self.split.finish().map_err(EntryProblem::Split)?;
        Ok(StagedLayer {
            record: LayerRecord {
                diff_size: self.archive_size,
                uidset: self.uids.into_iter().collect(),
                gidset: self.gids.into_iter().collect(),
                ..LayerRecord::default()
            },
            shared: self.shared,
        })
    }
}

impl Current {
    fn path(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Of a file with holes, each piece goes where it belongs.
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), EntryProblem> {
        if let Some(comparison) = &mut self.comparison {
            if comparison.goes_on(bytes) {
                return Ok(());
            }
            let copied = comparison.copy_to(&self.file);
            self.comparison = None;
            copied.during("write", self.path())?;
        }
        while let Some((offset, length)) = self.regions.pop() {
            let here = usize::try_from(length)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (piece, rest) = bytes.split_at(here);
            let place = self.file.seek(SeekFrom::Start(offset));
            place
                .and_then(|_| self.file.write_all(piece))
                .during("write", self.path())?;
            let written = here as u64;
            if written < length {
                self.regions.push((offset + written, length - written));
                return Ok(());
            }
            bytes = rest;
        }
        Ok(self.file.write_all(bytes).during("write", self.path())?)
    }
}

impl Owned {
    fn new(attributes: &NodeAttributes<'_>) -> Self {
        Self {
            permissions: attributes.permissions,
            uid: attributes.uid,
            gid: attributes.gid,
            mtime: attributes.mtime,
            xattrs: attributes.xattrs.to_vec(),
        }
    }

    fn borrowed(&self) -> NodeAttributes<'_> {
        NodeAttributes {
            permissions: self.permissions,
            uid: self.uid,
            gid: self.gid,
            mtime: self.mtime,
            xattrs: &self.xattrs,
        }
    }
}

impl StagedLayer {
    /// Bytes of the archive.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.record.diff_size
    }

    /// Bytes of files that another store has as well, and that stand on disk once.
    #[must_use]
    pub const fn shared(&self) -> u64 {
        self.shared
    }
}
