//! Patches as bsdiff makes them, without header and packing: control blocks of three numbers, each followed
//! by bytes to be added to the old file and by bytes that are new.
//!
//! Source: `bsdiff` of C. Percival, in the form that M. Endsley's library writes. Numbers have eight bytes,
//! little endian, the highest bit being the sign.

use std::io;

/// One control block of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'p> {
    /// Where [`Block::sum`] begins in the old file; bytes outside of it count as zero.
    pub offset: i64,
    /// Bytes to which those of the old file are added, modulo 256.
    pub sum: &'p [u8],
    /// Bytes that follow as they are.
    pub new: &'p [u8],
}

/// The blocks of a patch, until the new file has `size` bytes; an error is the last item.
#[derive(Debug, Clone)]
pub struct Blocks<'p> {
    patch: &'p [u8],
    left: u64,
    offset: i64,
}

/// The patch does not make what was announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the patch is damaged")]
pub struct PatchError;

/// Read a patch that makes a file of `size` bytes.
#[must_use]
pub const fn blocks(patch: &[u8], size: u64) -> Blocks<'_> {
    Blocks {
        patch,
        left: size,
        offset: 0,
    }
}

impl<'p> Iterator for Blocks<'p> {
    type Item = Result<Block<'p>, PatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let block = self.take().ok_or(PatchError);
        if block.is_err() {
            self.left = 0;
        }
        Some(block)
    }
}

impl<'p> Blocks<'p> {
    fn take(&mut self) -> Option<Block<'p>> {
        let sum_length = self.number()?;
        let new_length = self.number()?;
        let seek = self.number()?;
        let block = Block {
            offset: self.offset,
            sum: self.bytes(sum_length)?,
            new: self.bytes(new_length)?,
        };
        self.offset = self.offset.checked_add(sum_length)?.checked_add(seek)?;
        Some(block)
    }

    fn number(&mut self) -> Option<i64> {
        let (bytes, rest) = self.patch.split_first_chunk::<8>()?;
        self.patch = rest;
        let raw = u64::from_le_bytes(*bytes);
        let magnitude = i64::try_from(raw & !(1 << 63)).ok()?;
        Some(if raw >> 63 == 0 {
            magnitude
        } else {
            -magnitude
        })
    }

    fn bytes(&mut self, length: i64) -> Option<&'p [u8]> {
        self.left = self.left.checked_sub(u64::try_from(length).ok()?)?;
        let (bytes, rest) = self.patch.split_at_checked(usize::try_from(length).ok()?)?;
        self.patch = rest;
        Some(bytes)
    }
}

/// The patch that makes `new` of `old`.
///
/// # Errors
/// None that can happen: the patch is made in memory.
pub fn diff(old: &[u8], new: &[u8]) -> io::Result<Vec<u8>> {
    let mut patch = Vec::new();
    bsdiff::diff(old, new, &mut patch)?;
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(old: &[u8], patch: &[u8], size: u64) -> Result<Vec<u8>, PatchError> {
        let mut out = Vec::new();
        for block in blocks(patch, size) {
            let block = block?;
            for (at, byte) in (block.offset..).zip(block.sum) {
                let base = usize::try_from(at).ok().and_then(|at| old.get(at));
                out.push(byte.wrapping_add(base.copied().unwrap_or(0)));
            }
            out.extend_from_slice(block.new);
        }
        Ok(out)
    }

    fn control(numbers: [u64; 3]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    #[test]
    fn a_patch_written_by_hand() {
        // Three bytes from the second on, each plus one; then "!"; back by four; then the first two.
        let mut patch = control([3, 1, 1 << 63 | 4]);
        patch.extend([1, 1, 1, b'!']);
        patch.extend(control([2, 0, 0]));
        patch.extend([0, 0]);
        // The first block begins at 0, so "abc" becomes "bcd"; the second one begins at -1.
        assert_eq!(apply(b"abc", &patch, 6), Ok(b"bcd!\0a".to_vec()));
    }

    #[test]
    fn hostile_patches_are_refused() {
        for (patch, size) in [
            (control([u64::MAX >> 1, 0, 0]), 10),
            (control([1 << 63 | 1, 0, 0]), 10),
            (control([0, 0, u64::MAX >> 1]).repeat(2), 10),
            (control([5, 0, 0]), 3),
            (vec![0; 23], 1),
            (vec![], 1),
        ] {
            assert_eq!(apply(b"abc", &patch, size), Err(PatchError), "{patch:?}");
        }
    }

    proptest! {
        #[test]
        fn makes_the_new_of_the_old(
            old in proptest::collection::vec(0u8..4, 0..2000),
            new in proptest::collection::vec(0u8..4, 0..2000),
            cut in 0usize..2000,
        ) {
            let mut mixed = old.get(cut..).unwrap_or_default().to_vec();
            mixed.extend_from_slice(&new);
            let patch = diff(&old, &mixed).unwrap();
            prop_assert_eq!(apply(&old, &patch, mixed.len() as u64), Ok(mixed));
        }

        #[test]
        fn never_panics(old: Vec<u8>, patch: Vec<u8>, size in 0u64..10_000) {
            if let Ok(new) = apply(&old, &patch, size) {
                prop_assert_eq!(new.len() as u64, size);
            }
        }
    }
}
