//! Inodes, what is in directories, and extended attributes.

use super::ReadImageError;
use super::source::{Source, usize_of};
use crate::image::Timestamp;
use crate::image::layout::{BLOCK, DIRENT};
use crate::image::xattrs::PREFIXES;

/// Layouts of data (`EROFS_INODE_FLAT_PLAIN`, `EROFS_INODE_FLAT_INLINE`, `EROFS_INODE_CHUNK_BASED`).
const PLAIN: u16 = 0;
const INLINE: u16 = 2;
const CHUNKS: u16 = 4;

/// Header of the attributes behind an inode, and of one of them.
const XATTRS_HEADER: usize = 12;
const XATTR_HEADER: usize = 4;

/// An attribute: name and value.
type Xattr = (Vec<u8>, Vec<u8>);

/// `struct erofs_inode_compact` or `struct erofs_inode_extended`.
#[derive(Debug)]
pub(super) struct Inode {
    position: usize,
    layout: u16,
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) size: u64,
    /// The first block, or the number of a device.
    pub(super) address: u32,
    pub(super) mtime: Timestamp,
    /// Where the attributes begin, and their bytes.
    xattrs: usize,
    xattrs_size: usize,
}

impl Inode {
    pub(super) fn read(source: &Source<'_>, number: u64) -> Result<Self, ReadImageError> {
        let position = source.position(number)?;
        let format = source.u16(position)?;
        let words = usize::from(source.u16(position + 2)?);
        let inode = Self {
            position,
            layout: format >> 1,
            mode: source.u16(position + 4)?,
            uid: 0,
            gid: 0,
            links: 0,
            size: 0,
            address: source.u32(position + 16)?,
            mtime: source.oldest,
            xattrs: position,
            xattrs_size: words
                .checked_sub(1)
                .map_or(0, |words| XATTRS_HEADER + words * 4),
        };
        let inode = if format & 1 == 0 {
            Self {
                links: u32::from(source.u16(position + 6)?),
                size: u64::from(source.u32(position + 8)?),
                uid: u32::from(source.u16(position + 24)?),
                gid: u32::from(source.u16(position + 26)?),
                xattrs: position + 32,
                ..inode
            }
        } else {
            Self {
                size: source.u64(position + 8)?,
                uid: source.u32(position + 24)?,
                gid: source.u32(position + 28)?,
                mtime: Timestamp {
                    seconds: source.u64(position + 32)?,
                    nanoseconds: source.u32(position + 40)?,
                },
                links: source.u32(position + 44)?,
                xattrs: position + 64,
                ..inode
            }
        };
        match inode.layout {
            PLAIN | INLINE | CHUNKS => Ok(inode),
            _ => Err(inode.damaged("an inode has data in a way that composefs does not use")),
        }
    }

    pub(super) const fn damaged(&self, reason: &'static str) -> ReadImageError {
        ReadImageError::Damaged {
            at: self.position,
            reason,
        }
    }

    pub(super) const fn type_bits(&self) -> u32 {
        self.mode as u32 & 0o170_000
    }

    pub(super) const fn is_directory(&self) -> bool {
        self.type_bits() == 0o040_000
    }

    pub(super) const fn is_chunked(&self) -> bool {
        self.layout == CHUNKS
    }

    /// The blocks, and what stands right behind the inode.
    fn data<'b>(&self, source: &Source<'b>) -> Result<(&'b [u8], &'b [u8]), ReadImageError> {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        let tail = if self.layout == INLINE {
            size % BLOCK
        } else {
            0
        };
        let blocks = if size == tail {
            &[]
        } else {
            source.bytes(usize_of(self.address).saturating_mul(BLOCK), size - tail)?
        };
        let tail = source.bytes(self.xattrs + self.xattrs_size, tail)?;
        Ok((blocks, tail))
    }

    /// Content or target, which is in the image.
    pub(super) fn content(&self, source: &Source<'_>) -> Result<Vec<u8>, ReadImageError> {
        if self.is_chunked() {
            return Err(self.damaged("content is elsewhere where it cannot be"));
        }
        let (blocks, tail) = self.data(source)?;
        Ok([blocks, tail].concat())
    }

    /// The names in a directory, with the numbers of their inodes.
    pub(super) fn entries<'b>(
        &self,
        source: &Source<'b>,
    ) -> Result<Vec<(&'b [u8], u64)>, ReadImageError> {
        if self.is_chunked() {
            return Err(self.damaged("a directory is elsewhere"));
        }
        let (blocks, tail) = self.data(source)?;
        let mut entries = Vec::new();
        for block in blocks.chunks(BLOCK).chain([tail]) {
            if !block.is_empty() {
                self.entries_of(block, &mut entries)?;
            }
        }
        Ok(entries)
    }

    /// Entries of the same size, then their names; the last one is padded with zeros.
    fn entries_of<'b>(
        &self,
        block: &'b [u8],
        into: &mut Vec<(&'b [u8], u64)>,
    ) -> Result<(), ReadImageError> {
        let broken = || self.damaged("the entries of a directory are broken");
        let name_at = |index: usize| -> Option<usize> {
            let at = index * DIRENT + 8;
            let bytes = block.get(at..at + 2)?;
            Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
        };
        let first = name_at(0).ok_or_else(broken)?;
        if first == 0 || first % DIRENT != 0 || first > block.len() {
            return Err(broken());
        }
        let count = first / DIRENT;
        for index in 0..count {
            let start = name_at(index).ok_or_else(broken)?;
            let end = match index + 1 == count {
                true => block.len(),
                false => name_at(index + 1).ok_or_else(broken)?,
            };
            let name = block.get(start..end).ok_or_else(broken)?;
            let length = name.iter().position(|byte| *byte == 0);
            let name = &name[..length.unwrap_or(name.len())];
            let number = block.get(index * DIRENT..index * DIRENT + 8);
            let number = number.and_then(|bytes| bytes.try_into().ok());
            into.push((name, u64::from_le_bytes(number.ok_or_else(broken)?)));
        }
        Ok(())
    }

    /// Extended attributes as they are written.
    pub(super) fn xattrs(&self, source: &Source<'_>) -> Result<Vec<Xattr>, ReadImageError> {
        if self.xattrs_size == 0 {
            return Ok(Vec::new());
        }
        let end = self.xattrs + self.xattrs_size;
        let count = usize::from(source.bytes(self.xattrs + 4, 1)?[0]);
        let mut at = self.xattrs + XATTRS_HEADER;
        let mut xattrs = Vec::new();
        for index in 0..count {
            let offset = usize_of(source.u32(at + index * 4)?);
            let position = source.shared.saturating_add(offset.saturating_mul(4));
            xattrs.push(self.xattr(source, position)?.0);
        }
        at += count * 4;
        while at < end {
            let (xattr, next) = self.xattr(source, at)?;
            xattrs.push(xattr);
            at = next;
        }
        if at != end {
            return Err(self.damaged("extended attributes go over their end"));
        }
        Ok(xattrs)
    }

    /// One attribute, and where the next one begins.
    fn xattr(&self, source: &Source<'_>, at: usize) -> Result<(Xattr, usize), ReadImageError> {
        let header = source.bytes(at, XATTR_HEADER)?;
        let (name, space) = (usize::from(header[0]), header[1]);
        let value = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let prefix: &[u8] = match (space, PREFIXES.iter().find(|(number, _)| *number == space)) {
            (0, _) => b"",
            (_, Some((_, prefix))) => prefix,
            _ => return Err(self.damaged("an extended attribute is in no known name space")),
        };
        let bytes = source.bytes(at + XATTR_HEADER, name + value)?;
        let (name, value) = bytes.split_at(name);
        let next = (at + XATTR_HEADER + bytes.len()).next_multiple_of(4);
        Ok((([prefix, name].concat(), value.to_vec()), next))
    }
}
