//! SHA-512 of several blocks at once, one in each lane of the processor's vectors: there is no instruction for
//! SHA-512 on most machines, but the blocks of fs-verity do not depend on each other.
//!
//! Source of the algorithm: FIPS 180-4, sections 5.3.5 and 6.4.

mod vectors;

use std::array;

use pulp::{Arch, NullaryFnOnce};

use crate::verity::BLOCK;
use vectors::{Plain, Vectors};

/// Blocks that are worth being gathered: the lanes of the widest vectors.
pub(crate) const LANES: usize = 8;

/// Bytes that are compressed at once, of each block.
const CHUNK: usize = 128;

/// A processor on which several blocks at once are worth it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes(Arch);

impl Lanes {
    /// What this machine has.
    pub(crate) fn detect() -> Option<Self> {
        Self::of(Arch::new())
    }

    #[cfg(target_arch = "x86_64")]
    fn of(arch: Arch) -> Option<Self> {
        matches!(arch, Arch::V4(_) | Arch::V3(_)).then_some(Self(arch))
    }

    /// Other processors were not measured; some have instructions for SHA-512.
    #[cfg(not(target_arch = "x86_64"))]
    fn of(_: Arch) -> Option<Self> {
        None
    }

    /// Hashes blocks in groups that are worth it; `each` gets the number of a block and its digest. How many blocks were
    /// hashed: those that are left are too few.
    pub(crate) fn sha512(
        self,
        blocks: &[&[u8; BLOCK]],
        mut each: impl FnMut(usize, &[u8]),
    ) -> usize {
        match self.0 {
            // With vectors of four words, as many lanes leave room for the state in the registers.
            #[cfg(target_arch = "x86_64")]
            Arch::V3(processor) => in_groups(blocks, &mut each, |group| {
                processor.vectorize(Work(group, processor))
            }),
            // With those of eight words, the compiler makes vectors of plain loops.
            arch => in_groups(blocks, &mut each, |group| arch.dispatch(Work(group, Plain))),
        }
    }
}

/// Groups of fewer blocks than this are hashed one after the other faster (measured).
const ENOUGH: usize = 3;

fn in_groups<const N: usize>(
    blocks: &[&[u8; BLOCK]],
    each: &mut impl FnMut(usize, &[u8]),
    hash: impl Fn([&[u8; BLOCK]; N]) -> [[u8; 64]; N],
) -> usize {
    let mut done = 0;
    for group in blocks.chunks(N).take_while(|group| group.len() >= ENOUGH) {
        let filled = array::from_fn(|lane| *group.get(lane).unwrap_or(&group[0]));
        for digest in hash(filled).iter().take(group.len()) {
            each(done, digest);
            done += 1;
        }
    }
    done
}

/// Blocks, and the vectors with which they are hashed.
struct Work<'a, V, const N: usize>([&'a [u8; BLOCK]; N], V);

impl<V: Vectors<N>, const N: usize> NullaryFnOnce for Work<'_, V, N> {
    type Output = [[u8; 64]; N];

    // Inlined into a function that may use the processor's vectors, as is all that it calls.
    #[inline(always)]
    fn call(self) -> Self::Output {
        let Self(blocks, vectors) = self;
        let mut state = INITIAL.map(|word| vectors.load([word; N]));
        for start in (0..BLOCK).step_by(CHUNK) {
            let word = |word: usize| blocks.map(|block| big_endian(block, start + word * 8));
            compress(
                vectors,
                &mut state,
                array::from_fn(|at| vectors.load(word(at))),
            );
        }
        let padding = PADDING.map(|word| vectors.load([word; N]));
        compress(vectors, &mut state, padding);
        let state = state.map(|words| vectors.store(words));
        array::from_fn(|lane| digest(&state, lane))
    }
}

#[inline(always)]
fn big_endian(block: &[u8; BLOCK], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&block[at..at + 8]);
    u64::from_be_bytes(word)
}

#[inline(always)]
fn digest<const N: usize>(state: &[[u64; N]; 8], lane: usize) -> [u8; 64] {
    let mut digest = [0; 64];
    for (bytes, words) in digest.chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&words[lane].to_be_bytes());
    }
    digest
}

#[inline(always)]
fn compress<V: Vectors<N>, const N: usize>(
    vectors: V,
    state: &mut [V::Words; 8],
    mut message: [V::Words; 16],
) {
    let mut work = *state;
    for (round, constants) in ROUNDS.as_chunks::<16>().0.iter().enumerate() {
        if round > 0 {
            extend(vectors, &mut message);
        }
        for (constant, words) in constants.iter().zip(&message) {
            let words = vectors.add(*words, vectors.load([*constant; N]));
            step(vectors, &mut work, words);
        }
    }
    for (words, more) in state.iter_mut().zip(&work) {
        *words = vectors.add(*words, *more);
    }
}

/// The next sixteen words of the message schedule, in place of the last ones.
#[inline(always)]
fn extend<V: Vectors<N>, const N: usize>(v: V, message: &mut [V::Words; 16]) {
    for t in 0..16 {
        let (x, y) = (message[(t + 1) % 16], message[(t + 14) % 16]);
        let s0 = v.xor(v.xor(v.rotate::<1>(x), v.rotate::<8>(x)), v.shift::<7>(x));
        let s1 = v.xor(v.xor(v.rotate::<19>(y), v.rotate::<61>(y)), v.shift::<6>(y));
        let sum = v.add(v.add(message[t], s0), v.add(message[(t + 9) % 16], s1));
        message[t] = sum;
    }
}

/// One round; `words` are those of the message and of the round.
#[inline(always)]
fn step<V: Vectors<N>, const N: usize>(v: V, work: &mut [V::Words; 8], words: V::Words) {
    let [a, b, c, d, e, f, g, h] = *work;
    let sigma = v.xor(
        v.xor(v.rotate::<14>(e), v.rotate::<18>(e)),
        v.rotate::<41>(e),
    );
    let choice = v.xor(g, v.and(e, v.xor(f, g)));
    let first = v.add(v.add(h, words), v.add(sigma, choice));
    let sigma = v.xor(
        v.xor(v.rotate::<28>(a), v.rotate::<34>(a)),
        v.rotate::<39>(a),
    );
    let majority = v.xor(v.and(a, b), v.and(c, v.xor(a, b)));
    let second = v.add(sigma, majority);
    *work = [v.add(first, second), a, b, c, v.add(d, first), e, f, g];
}

/// What stands behind a block: one bit, zeros, and the number of its bits.
const PADDING: [u64; 16] = {
    let mut words = [0; 16];
    words[0] = 1 << 63;
    words[15] = BLOCK as u64 * 8;
    words
};

const INITIAL: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

const ROUNDS: [u64; 80] = [
    0x428a_2f98_d728_ae22,
    0x7137_4491_23ef_65cd,
    0xb5c0_fbcf_ec4d_3b2f,
    0xe9b5_dba5_8189_dbbc,
    0x3956_c25b_f348_b538,
    0x59f1_11f1_b605_d019,
    0x923f_82a4_af19_4f9b,
    0xab1c_5ed5_da6d_8118,
    0xd807_aa98_a303_0242,
    0x1283_5b01_4570_6fbe,
    0x2431_85be_4ee4_b28c,
    0x550c_7dc3_d5ff_b4e2,
    0x72be_5d74_f27b_896f,
    0x80de_b1fe_3b16_96b1,
    0x9bdc_06a7_25c7_1235,
    0xc19b_f174_cf69_2694,
    0xe49b_69c1_9ef1_4ad2,
    0xefbe_4786_384f_25e3,
    0x0fc1_9dc6_8b8c_d5b5,
    0x240c_a1cc_77ac_9c65,
    0x2de9_2c6f_592b_0275,
    0x4a74_84aa_6ea6_e483,
    0x5cb0_a9dc_bd41_fbd4,
    0x76f9_88da_8311_53b5,
    0x983e_5152_ee66_dfab,
    0xa831_c66d_2db4_3210,
    0xb003_27c8_98fb_213f,
    0xbf59_7fc7_beef_0ee4,
    0xc6e0_0bf3_3da8_8fc2,
    0xd5a7_9147_930a_a725,
    0x06ca_6351_e003_826f,
    0x1429_2967_0a0e_6e70,
    0x27b7_0a85_46d2_2ffc,
    0x2e1b_2138_5c26_c926,
    0x4d2c_6dfc_5ac4_2aed,
    0x5338_0d13_9d95_b3df,
    0x650a_7354_8baf_63de,
    0x766a_0abb_3c77_b2a8,
    0x81c2_c92e_47ed_aee6,
    0x9272_2c85_1482_353b,
    0xa2bf_e8a1_4cf1_0364,
    0xa81a_664b_bc42_3001,
    0xc24b_8b70_d0f8_9791,
    0xc76c_51a3_0654_be30,
    0xd192_e819_d6ef_5218,
    0xd699_0624_5565_a910,
    0xf40e_3585_5771_202a,
    0x106a_a070_32bb_d1b8,
    0x19a4_c116_b8d2_d0c8,
    0x1e37_6c08_5141_ab53,
    0x2748_774c_df8e_eb99,
    0x34b0_bcb5_e19b_48a8,
    0x391c_0cb3_c5c9_5a63,
    0x4ed8_aa4a_e341_8acb,
    0x5b9c_ca4f_7763_e373,
    0x682e_6ff3_d6b2_b8a3,
    0x748f_82ee_5def_b2fc,
    0x78a5_636f_4317_2f60,
    0x84c8_7814_a1f0_ab72,
    0x8cc7_0208_1a64_39ec,
    0x90be_fffa_2363_1e28,
    0xa450_6ceb_de82_bde9,
    0xbef9_a3f7_b2c6_7915,
    0xc671_78f2_e372_532b,
    0xca27_3ece_ea26_619c,
    0xd186_b8c7_21c0_c207,
    0xeada_7dd6_cde0_eb1e,
    0xf57d_4f7f_ee6e_d178,
    0x06f0_67aa_7217_6fba,
    0x0a63_7dc5_a2c8_98a6,
    0x113f_9804_bef9_0dae,
    0x1b71_0b35_131c_471b,
    0x28db_77f5_2304_7d84,
    0x32ca_ab7b_40c7_2493,
    0x3c9e_be0a_15c9_bebc,
    0x431d_67c4_9c10_0d4c,
    0x4cc5_d4be_cb3e_42b6,
    0x597f_299c_fc65_7e2a,
    0x5fcb_6fab_3ad6_faec,
    0x6c44_198c_4a47_5817,
];

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha512};

    /// What the processor at hand may be, and what it would be without its widest vectors.
    fn processors() -> Vec<Arch> {
        #[cfg(target_arch = "x86_64")]
        let narrower = pulp::x86::V3::try_new().map(Arch::V3);
        #[cfg(not(target_arch = "x86_64"))]
        let narrower = None;
        let all = [Some(Arch::new()), narrower, Some(Arch::Scalar)];
        all.into_iter().flatten().collect()
    }

    #[test]
    fn every_lane_has_the_digest_of_its_own_block() {
        let byte = |n: usize| (n.wrapping_mul(2_654_435_761) >> 13) as u8;
        let content: Vec<u8> = (0..BLOCK * LANES).map(byte).collect();
        let blocks: [&[u8; BLOCK]; LANES] =
            array::from_fn(|lane| content[lane * BLOCK..].first_chunk().unwrap());
        for arch in processors() {
            for count in [LANES, 7, 3] {
                let mut digests = Vec::new();
                let hashed = |_, digest: &[u8]| digests.push(digest.to_vec());
                assert_eq!(
                    Lanes(arch).sha512(&blocks[..count], hashed),
                    count,
                    "{arch:?}"
                );
                for (digest, block) in digests.iter().zip(blocks) {
                    assert_eq!(digest[..], Sha512::digest(block)[..], "{arch:?}");
                }
            }
            let none = Lanes(arch).sha512(&blocks[..2], |_, _| panic!("too few"));
            assert_eq!(none, 0);
        }
    }
}
