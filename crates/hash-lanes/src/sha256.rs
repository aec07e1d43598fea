//! A running SHA-256 that can go along with another one.
//!
//! Source of the padding and the first state: FIPS 180-4, sections 5.1.1 and 5.3.3.

mod pair;

use sha2::block_api::compress256;

/// Bytes that are compressed at once.
const BLOCK: usize = 64;

/// Bytes at the end of the last block that tell how many bits there were.
const LENGTH: usize = 8;

/// The words of a hash that is not finished.
type State = [u32; 8];

const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A running SHA-256.
#[derive(Clone)]
pub struct Sha256 {
    state: State,
    /// Bytes that were taken in.
    size: u64,
    /// Those at the end that do not fill a block yet, and room for the others.
    pending: [u8; BLOCK],
}

impl Sha256 {
    /// One that has seen nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: INITIAL,
            size: 0,
            pending: [0; BLOCK],
        }
    }

    /// The hash of these bytes.
    #[must_use]
    pub fn digest(bytes: &[u8]) -> [u8; 32] {
        let mut hash = Self::new();
        hash.update(bytes);
        hash.finish()
    }

    /// Take `bytes` in.
    pub fn update(&mut self, bytes: &[u8]) {
        let blocks = self.begin(bytes);
        compress256(&mut self.state, blocks);
    }

    /// Take `bytes` into both, side by side where the processor can do that.
    pub fn update_both(one: &mut Self, other: &mut Self, bytes: &[u8]) {
        let (of_one, of_other) = (one.begin(bytes), other.begin(bytes));
        let common = of_one.len().min(of_other.len());
        let (of_one, rest_of_one) = of_one.split_at(common);
        let (of_other, rest_of_other) = of_other.split_at(common);
        pair::compress([&mut one.state, &mut other.state], [of_one, of_other]);
        compress256(&mut one.state, rest_of_one);
        compress256(&mut other.state, rest_of_other);
    }

    /// Count `bytes`, fill the block that was begun, and keep what does not fill one; the whole blocks between have yet
    /// to be compressed.
    fn begin<'b>(&mut self, bytes: &'b [u8]) -> &'b [[u8; BLOCK]] {
        let filled = self.filled();
        self.size = self.size.wrapping_add(bytes.len() as u64);
        let (head, bytes) = match filled {
            0 => (&[][..], bytes),
            _ => bytes.split_at(bytes.len().min(BLOCK - filled)),
        };
        self.pending[filled..filled + head.len()].copy_from_slice(head);
        if filled + head.len() == BLOCK {
            compress256(&mut self.state, &[self.pending]);
        }
        let (blocks, rest) = bytes.as_chunks();
        self.pending[..rest.len()].copy_from_slice(rest);
        blocks
    }

    /// How much of the pending block is there.
    const fn filled(&self) -> usize {
        (self.size % BLOCK as u64) as usize
    }

    /// The hash of everything that was taken in.
    #[must_use]
    pub fn finish(mut self) -> [u8; 32] {
        let filled = self.filled();
        let bits = self.size.wrapping_mul(8);
        self.pending[filled] = 0x80;
        self.pending[filled + 1..].fill(0);
        if filled + 1 > BLOCK - LENGTH {
            compress256(&mut self.state, &[self.pending]);
            self.pending.fill(0);
        }
        self.pending[BLOCK - LENGTH..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &[self.pending]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sha256")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::Digest as _;

    fn expected(bytes: &[u8]) -> [u8; 32] {
        sha2::Sha256::digest(bytes).into()
    }

    #[test]
    fn every_length_of_the_last_block() {
        let bytes = [0xa5; 3 * BLOCK];
        for length in 0..bytes.len() {
            let bytes = &bytes[..length];
            assert_eq!(Sha256::digest(bytes), expected(bytes), "{length}");
        }
    }

    proptest! {
        #[test]
        fn in_pieces_and_side_by_side(
            heads in [prop::collection::vec(any::<u8>(), 0..200), prop::collection::vec(any::<u8>(), 0..200)],
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..6),
        ) {
            let [mut one, mut other] = [Sha256::new(), Sha256::new()];
            one.update(&heads[0]);
            other.update(&heads[1]);
            let mut contents = heads;
            for piece in &pieces {
                Sha256::update_both(&mut one, &mut other, piece);
                contents.iter_mut().for_each(|content| content.extend_from_slice(piece));
            }
            prop_assert_eq!(one.finish(), expected(&contents[0]));
            prop_assert_eq!(other.finish(), expected(&contents[1]));
        }
    }
}
