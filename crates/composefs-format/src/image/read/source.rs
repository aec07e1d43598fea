//! The bytes of an image and what its superblock says of them.

use super::ReadImageError;
use crate::image::layout::{BLOCK, SLOT, SUPERBLOCK};
use crate::image::{Timestamp, Version};

/// An image.
pub(super) struct Source<'b> {
    pub(super) bytes: &'b [u8],
    pub(super) version: Version,
    /// Number of the root's inode.
    pub(super) root: u64,
    /// The time of inodes that do not say one.
    pub(super) oldest: Timestamp,
    /// Where shared attributes are counted from.
    pub(super) shared: usize,
}

impl<'b> Source<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Result<Self, ReadImageError> {
        let mut source = Self {
            bytes,
            version: Version::V0,
            root: 0,
            oldest: Timestamp::default(),
            shared: 0,
        };
        let foreign = |reason| Err(ReadImageError::Foreign(reason));
        if bytes.len() < SUPERBLOCK + 128 {
            return foreign("it is too short");
        }
        if source.u32(0)? != 0xd078_629a || source.u32(SUPERBLOCK)? != 0xE0F5_E1E2 {
            return foreign("its beginning is another");
        }
        source.version = match source.u32(12)? {
            0 => Version::V0,
            1 => Version::V1,
            2 => Version::V2,
            _ => return foreign("it is of a later version"),
        };
        let block_bits = source.bytes(SUPERBLOCK + 12, 1)?;
        let features = source.u32(SUPERBLOCK + 80)?;
        if block_bits != [12] || features != 0 || source.u32(SUPERBLOCK + 40)? != 0 {
            return foreign("it has features that composefs does not use");
        }
        source.root = u64::from(source.u16(SUPERBLOCK + 14)?);
        source.oldest = Timestamp {
            seconds: source.u64(SUPERBLOCK + 24)?,
            nanoseconds: source.u32(SUPERBLOCK + 32)?,
        };
        source.shared = usize_of(source.u32(SUPERBLOCK + 44)?) * BLOCK;
        Ok(source)
    }

    /// `count` bytes from `at` on.
    pub(super) fn bytes(&self, at: usize, count: usize) -> Result<&'b [u8], ReadImageError> {
        let end = at.checked_add(count);
        let found = end.and_then(|end| self.bytes.get(at..end));
        found.ok_or(ReadImageError::Damaged {
            at,
            reason: "it ends before that",
        })
    }

    pub(super) fn u16(&self, at: usize) -> Result<u16, ReadImageError> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn u32(&self, at: usize) -> Result<u32, ReadImageError> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&self, at: usize) -> Result<u64, ReadImageError> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&self, at: usize) -> Result<[u8; N], ReadImageError> {
        let bytes = self.bytes(at, N)?;
        Ok(bytes.try_into().unwrap_or([0; N]))
    }

    /// Where an inode stands.
    pub(super) fn position(&self, number: u64) -> Result<usize, ReadImageError> {
        let position = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(SLOT))
            .filter(|position| *position > SUPERBLOCK && *position < self.bytes.len());
        position.ok_or(ReadImageError::Damaged {
            at: usize::try_from(number).unwrap_or(usize::MAX),
            reason: "an inode is outside of the image",
        })
    }
}

/// As large as any number of 32 bits.
pub(super) fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
