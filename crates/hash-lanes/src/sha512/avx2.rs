//! Four blocks in the lanes of vectors of four words.
//!
//! Source of the algorithm: FIPS 180-4, sections 4.1.3, 5.3.5 and 6.4.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi64, _mm256_and_si256, _mm256_extract_epi64, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set_epi64x, _mm256_set1_epi64x, _mm256_setr_epi8,
    _mm256_shuffle_epi8, _mm256_slli_epi64, _mm256_srli_epi64, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi64, _mm256_xor_si256,
};
use std::array::from_fn;

use super::{BLOCK, LANES};

/// Bytes that are compressed at once, of each block.
const CHUNK: usize = 128;

type State = [__m256i; 8];

/// Sixteen words of the message schedules.
type Message = [__m256i; 16];

/// The digests of four blocks.
#[target_feature(enable = "avx2")]
pub(super) fn hash(blocks: [&[u8; BLOCK]; LANES]) -> [[u8; 64]; LANES] {
    let mut state = INITIAL.map(|word| same(word));
    for number in 0..BLOCK / CHUNK {
        let chunks = blocks.map(|block| &block.as_chunks::<CHUNK>().0[number]);
        compress(&mut state, message(chunks));
    }
    compress(&mut state, PADDING.map(|word| same(word)));
    let mut digests = [[0; 64]; LANES];
    for (number, words) in state.into_iter().enumerate() {
        for (digest, word) in digests.iter_mut().zip(lanes(words)) {
            digest.as_chunks_mut().0[number] = word.to_be_bytes();
        }
    }
    digests
}

#[inline]
#[target_feature(enable = "avx2")]
fn compress(state: &mut State, mut message: Message) {
    let mut work = *state;
    rounds::<false>(&mut work, &ROUNDS[0], &mut message);
    for constants in &ROUNDS[1..] {
        rounds::<true>(&mut work, constants, &mut message);
    }
    for (words, more) in state.iter_mut().zip(work) {
        *words = add(*words, more);
    }
}

/// Sixteen rounds, with the words that come after those of `message` if it was used already.
#[inline]
#[target_feature(enable = "avx2")]
fn rounds<const AGAIN: bool>(work: &mut State, constants: &[u64; 16], message: &mut Message) {
    // Where b and c differ; in the round that follows, that is where a and b do now.
    let differ = &mut xor(work[1], work[2]);
    // Written out: a loop moves the state from register to register, which takes a fifth longer (measured).
    round::<AGAIN, 0>(work, differ, constants, message);
    round::<AGAIN, 1>(work, differ, constants, message);
    round::<AGAIN, 2>(work, differ, constants, message);
    round::<AGAIN, 3>(work, differ, constants, message);
    round::<AGAIN, 4>(work, differ, constants, message);
    round::<AGAIN, 5>(work, differ, constants, message);
    round::<AGAIN, 6>(work, differ, constants, message);
    round::<AGAIN, 7>(work, differ, constants, message);
    round::<AGAIN, 8>(work, differ, constants, message);
    round::<AGAIN, 9>(work, differ, constants, message);
    round::<AGAIN, 10>(work, differ, constants, message);
    round::<AGAIN, 11>(work, differ, constants, message);
    round::<AGAIN, 12>(work, differ, constants, message);
    round::<AGAIN, 13>(work, differ, constants, message);
    round::<AGAIN, 14>(work, differ, constants, message);
    round::<AGAIN, 15>(work, differ, constants, message);
}

#[inline]
#[target_feature(enable = "avx2")]
fn round<const AGAIN: bool, const T: usize>(
    work: &mut State,
    differ: &mut __m256i,
    constants: &[u64; 16],
    message: &mut Message,
) {
    let [a, b, c, d, e, f, g, h] = *work;
    if AGAIN {
        message[T] = next_words::<T>(message);
    }
    let words = add(h, add(message[T], same(constants[T])));
    let choice = xor(g, and(e, xor(f, g)));
    let sigma = xor(rotate::<14, 50>(e), rotate::<18, 46>(e));
    let first = add(add(words, choice), xor(sigma, rotate::<41, 23>(e)));
    let next = xor(a, b);
    let majority = xor(b, and(next, *differ));
    let sigma = xor(rotate::<28, 36>(a), rotate::<34, 30>(a));
    let second = add(majority, xor(sigma, rotate::<39, 25>(a)));
    *differ = next;
    *work = [add(first, second), a, b, c, add(d, first), e, f, g];
}

/// What takes the place of the words `T` of the message schedules, sixteen rounds later.
#[inline]
#[target_feature(enable = "avx2")]
fn next_words<const T: usize>(message: &Message) -> __m256i {
    let (x, y) = (message[(T + 1) % 16], message[(T + 14) % 16]);
    let s0 = xor(rotate::<1, 63>(x), rotate_by_a_byte(x));
    let s1 = xor(rotate::<19, 45>(y), rotate::<61, 3>(y));
    let sum = add(
        add(message[T], message[(T + 9) % 16]),
        xor(s0, _mm256_srli_epi64::<7>(x)),
    );
    add(sum, xor(s1, _mm256_srli_epi64::<6>(y)))
}

/// The words of a message, those of each lane read from its own bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn message(chunks: [&[u8; CHUNK]; LANES]) -> Message {
    let mut message = [same(0); 16];
    for (quarter, words) in message.as_chunks_mut().0.iter_mut().enumerate() {
        *words = transpose(chunks.map(|chunk| big_endian(&chunk.as_chunks().0[quarter])));
    }
    message
}

/// Four words.
#[inline]
#[target_feature(enable = "avx2")]
fn big_endian(bytes: &[u8; 32]) -> __m256i {
    let [a, b, c, d] = from_fn(|word| i64::from_le_bytes(bytes.as_chunks().0[word]));
    let swapped = _mm256_setr_epi8(
        7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13,
        12, 11, 10, 9, 8,
    );
    _mm256_shuffle_epi8(_mm256_set_epi64x(d, c, b, a), swapped)
}

/// From four words of each lane to the lanes of each of four words.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (even_ab, odd_ab) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    let (even_cd, odd_cd) = (_mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d));
    [
        _mm256_permute2x128_si256::<0x20>(even_ab, even_cd),
        _mm256_permute2x128_si256::<0x20>(odd_ab, odd_cd),
        _mm256_permute2x128_si256::<0x31>(even_ab, even_cd),
        _mm256_permute2x128_si256::<0x31>(odd_ab, odd_cd),
    ]
}

#[inline]
#[target_feature(enable = "avx2")]
fn same(word: u64) -> __m256i {
    _mm256_set1_epi64x(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn lanes(words: __m256i) -> [u64; LANES] {
    let lanes = [
        _mm256_extract_epi64::<0>(words),
        _mm256_extract_epi64::<1>(words),
        _mm256_extract_epi64::<2>(words),
        _mm256_extract_epi64::<3>(words),
    ];
    lanes.map(i64::cast_unsigned)
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: __m256i, b: __m256i) -> __m256i {
    _mm256_add_epi64(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(a: __m256i, b: __m256i) -> __m256i {
    _mm256_xor_si256(a, b)
}

#[inline]
#[target_feature(enable = "avx2")]
fn and(a: __m256i, b: __m256i) -> __m256i {
    _mm256_and_si256(a, b)
}

/// To the right by so many bits, which are the others of 64 to the left.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const RIGHT: i32, const LEFT: i32>(words: __m256i) -> __m256i {
    const { assert!(RIGHT + LEFT == 64) };
    let right = _mm256_srli_epi64::<RIGHT>(words);
    _mm256_or_si256(right, _mm256_slli_epi64::<LEFT>(words))
}

/// To the right by eight bits, in one step.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate_by_a_byte(words: __m256i) -> __m256i {
    let bytes = _mm256_setr_epi8(
        1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15, 8, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11,
        12, 13, 14, 15, 8,
    );
    _mm256_shuffle_epi8(words, bytes)
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

const ROUNDS: [[u64; 16]; 5] = [
    [
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
    ],
    [
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
    ],
    [
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
    ],
    [
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
    ],
    [
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
    ],
];
