//! SHA-512 of several blocks at once, one in each lane of the processor's vectors: there is no instruction for
//! SHA-512 on most machines, but the blocks of fs-verity do not depend on each other.

#[cfg(target_arch = "x86_64")]
mod avx2;

/// Bytes of a block.
pub const BLOCK: usize = 4096;

/// Blocks that are hashed at once.
pub const LANES: usize = 4;

/// Groups of fewer blocks than this are hashed one after the other faster (measured).
const ENOUGH: usize = 3;

/// A processor on which several blocks at once are worth it.
#[derive(Debug, Clone, Copy)]
pub struct Lanes(());

impl Lanes {
    /// What this machine has. Only processors with AVX2 were measured; others have instructions for SHA-512.
    #[must_use]
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Some(Self(()));
        }
        None
    }

    /// Hashes blocks in groups that are worth it; `each` gets the number of a block and its digest. How many blocks were
    /// hashed: those that are left are too few.
    pub fn sha512(self, blocks: &[&[u8; BLOCK]], mut each: impl FnMut(usize, &[u8])) -> usize {
        let mut done = 0;
        for group in blocks
            .chunks(LANES)
            .take_while(|group| group.len() >= ENOUGH)
        {
            let filled = std::array::from_fn(|lane| *group.get(lane).unwrap_or(&group[0]));
            for digest in self.hash(filled).iter().take(group.len()) {
                each(done, digest);
                done += 1;
            }
        }
        done
    }

    #[cfg(target_arch = "x86_64")]
    fn hash(self, blocks: [&[u8; BLOCK]; LANES]) -> [[u8; 64]; LANES] {
        #[expect(unsafe_code, reason = "only some processors have such vectors")]
        // SAFETY: a value of this type is made on one of them only.
        unsafe {
            avx2::hash(blocks)
        }
    }

    /// There is no value to call it with.
    #[cfg(not(target_arch = "x86_64"))]
    fn hash(self, _: [&[u8; BLOCK]; LANES]) -> [[u8; 64]; LANES] {
        [[0; 64]; LANES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha512};

    #[test]
    fn every_lane_has_the_digest_of_its_own_block() {
        let byte = |n: usize| (n.wrapping_mul(2_654_435_761) >> 13) as u8;
        let content: Vec<u8> = (0..BLOCK * 9).map(byte).collect();
        let (blocks, _) = content.as_chunks::<BLOCK>();
        let blocks: Vec<_> = blocks.iter().collect();
        let Some(lanes) = Lanes::detect() else {
            return;
        };
        for (count, hashed) in [(9, 8), (8, 8), (7, 7), (6, 4), (3, 3), (2, 0)] {
            let mut digests = Vec::new();
            let done = lanes.sha512(&blocks[..count], |number, digest| {
                digests.push((number, digest.to_vec()));
            });
            assert_eq!((done, digests.len()), (hashed, hashed), "{count}");
            for ((number, digest), (place, block)) in digests.iter().zip(blocks.iter().enumerate())
            {
                assert_eq!((*number, &digest[..]), (place, &Sha512::digest(block)[..]));
            }
        }
    }
}
