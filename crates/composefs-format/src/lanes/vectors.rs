//! What SHA-512 needs of vectors of words.

use std::array;

/// Vectors of `N` words of 64 bits.
pub(super) trait Vectors<const N: usize>: Copy {
    /// A vector.
    type Words: Copy;

    fn load(self, words: [u64; N]) -> Self::Words;

    fn store(self, words: Self::Words) -> [u64; N];

    fn add(self, a: Self::Words, b: Self::Words) -> Self::Words;

    fn xor(self, a: Self::Words, b: Self::Words) -> Self::Words;

    fn and(self, a: Self::Words, b: Self::Words) -> Self::Words;

    /// To the right by so many bits, which come back on the left.
    fn rotate<const BITS: u32>(self, a: Self::Words) -> Self::Words;

    /// To the right by so many bits, with zeros on the left.
    fn shift<const BITS: u32>(self, a: Self::Words) -> Self::Words;
}

/// Plain words, eight of them, which the compiler may keep in vectors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain;

impl Vectors<8> for Plain {
    type Words = [u64; 8];

    #[inline(always)]
    fn load(self, words: [u64; 8]) -> [u64; 8] {
        words
    }

    #[inline(always)]
    fn store(self, words: [u64; 8]) -> [u64; 8] {
        words
    }

    #[inline(always)]
    fn add(self, a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        array::from_fn(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn xor(self, a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        array::from_fn(|lane| a[lane] ^ b[lane])
    }

    #[inline(always)]
    fn and(self, a: [u64; 8], b: [u64; 8]) -> [u64; 8] {
        array::from_fn(|lane| a[lane] & b[lane])
    }

    #[inline(always)]
    fn rotate<const BITS: u32>(self, a: [u64; 8]) -> [u64; 8] {
        a.map(|word| word.rotate_right(BITS))
    }

    #[inline(always)]
    fn shift<const BITS: u32>(self, a: [u64; 8]) -> [u64; 8] {
        a.map(|word| word >> BITS)
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use pulp::u64x4;
    use pulp::x86::V3;

    use super::Vectors;

    impl Vectors<4> for V3 {
        type Words = u64x4;

        #[inline(always)]
        fn load(self, [a, b, c, d]: [u64; 4]) -> u64x4 {
            u64x4(a, b, c, d)
        }

        #[inline(always)]
        fn store(self, u64x4(a, b, c, d): u64x4) -> [u64; 4] {
            [a, b, c, d]
        }

        #[inline(always)]
        fn add(self, a: u64x4, b: u64x4) -> u64x4 {
            self.wrapping_add_u64x4(a, b)
        }

        #[inline(always)]
        fn xor(self, a: u64x4, b: u64x4) -> u64x4 {
            self.xor_u64x4(a, b)
        }

        #[inline(always)]
        fn and(self, a: u64x4, b: u64x4) -> u64x4 {
            self.and_u64x4(a, b)
        }

        #[inline(always)]
        fn rotate<const BITS: u32>(self, a: u64x4) -> u64x4 {
            let right = self.shr_dyn_u64x4(a, self.splat_u64x4(u64::from(BITS)));
            let left = self.shl_dyn_u64x4(a, self.splat_u64x4(u64::from(64 - BITS)));
            self.or_u64x4(left, right)
        }

        #[inline(always)]
        fn shift<const BITS: u32>(self, a: u64x4) -> u64x4 {
            self.shr_dyn_u64x4(a, self.splat_u64x4(u64::from(BITS)))
        }
    }
}
