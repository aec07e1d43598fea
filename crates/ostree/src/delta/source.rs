//! The file of which a delta takes pieces.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;

use durable::IoContext as _;
use ostree_format::Checksum;

use super::DeltaApplyError;
use crate::Repo;

/// A content object, to be read in any order.
#[derive(Debug)]
pub(super) struct Source {
    checksum: Checksum,
    size: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Stored(File),
    /// Of an archive, where it is packed.
    Unpacked(Vec<u8>),
}

impl Source {
    pub(super) fn open(repo: &Repo, checksum: Checksum) -> Result<Self, DeltaApplyError> {
        let mut object = repo.open_file(&checksum)?;
        let name = || checksum.to_string();
        let content = match object.content.as_plain() {
            Some(file) => {
                let file = file.try_clone_to_owned().during("open object", name())?;
                Content::Stored(file.into())
            }
            None => {
                let mut bytes = Vec::new();
                let mut content = object.content.by_ref().take(object.size);
                content
                    .read_to_end(&mut bytes)
                    .during("read object", name())?;
                Content::Unpacked(bytes)
            }
        };
        Ok(Self {
            checksum,
            size: object.size,
            content,
        })
    }

    /// Fill `buffer` with what begins at `offset`.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeltaApplyError> {
        let short = || DeltaApplyError::SourceTooShort(self.checksum);
        let end = offset.checked_add(buffer.len() as u64).ok_or_else(short)?;
        if end > self.size {
            return Err(short());
        }
        match &self.content {
            Content::Stored(file) => file
                .read_exact_at(buffer, offset)
                .during("read object", self.checksum.to_string())
                .map_err(Into::into),
            Content::Unpacked(bytes) => {
                let start = usize::try_from(offset).map_err(|_| short())?;
                let piece = bytes.get(start..).and_then(|rest| rest.get(..buffer.len()));
                buffer.copy_from_slice(piece.ok_or_else(short)?);
                Ok(())
            }
        }
    }

    /// Add what begins at `offset` to `sum`, modulo 256; what lies outside of the file counts as zero.
    pub(super) fn add_to(&self, offset: i64, sum: &mut [u8]) -> Result<(), DeltaApplyError> {
        let skipped = usize::try_from(offset.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let start = u64::try_from(offset).unwrap_or(0);
        let length = usize::try_from(self.size.saturating_sub(start)).unwrap_or(usize::MAX);
        let Some(inside) = sum.get_mut(skipped..) else {
            return Ok(());
        };
        let mut old = vec![0; inside.len().min(length)];
        if old.is_empty() {
            return Ok(());
        }
        self.read(start, &mut old)?;
        for (byte, old) in inside.iter_mut().zip(old) {
            *byte = byte.wrapping_add(old);
        }
        Ok(())
    }
}
