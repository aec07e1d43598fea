//! Blocks of two streams, compressed in turns: a processor with instructions for SHA-256 begins the step of one while it
//! waits for that of the other.
//!
//! Source of the algorithm: FIPS 180-4, section 6.2.2, and the instructions' description in Intel's Software
//! Developer's Manual (`SHA256RNDS2`, `SHA256MSG1`, `SHA256MSG2`).

use sha2::block_api::compress256;

use super::{BLOCK, State};

/// Blocks of one stream.
type Blocks<'b> = &'b [[u8; BLOCK]];

/// Compress as many blocks of one stream as of the other.
pub(super) fn compress(states: [&mut State; 2], blocks: [Blocks<'_>; 2]) {
    #[cfg(target_arch = "x86_64")]
    if x86::is_there() {
        #[expect(unsafe_code, reason = "only some processors have these instructions")]
        // SAFETY: this one has just said that it has all that the function is compiled for.
        return unsafe { x86::compress(states, blocks) };
    }
    for (state, blocks) in states.into_iter().zip(blocks) {
        compress256(state, blocks);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::is_x86_feature_detected;
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32,
    };
    use std::array::from_fn;

    use super::{BLOCK, Blocks, State};

    pub(super) fn is_there() -> bool {
        is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
    }

    /// The words a, b, e, f of a state, and c, d, g, h, as the instructions want them.
    type Halves = [__m128i; 2];

    /// Sixteen words of the message schedule.
    type Message = [__m128i; 4];

    #[target_feature(enable = "sha,ssse3,sse4.1")]
    pub(super) fn compress(states: [&mut State; 2], blocks: [Blocks<'_>; 2]) {
        let [mut one, mut other] = [halves(states[0]), halves(states[1])];
        for (block, other_block) in blocks[0].iter().zip(blocks[1]) {
            let before = [one, other];
            let mut messages = [message(block), message(other_block)];
            let mut both = before;
            // Written out: a loop keeps messages in memory, which takes a fifth longer (measured).
            four_rounds::<0>(&mut both, &mut messages);
            four_rounds::<1>(&mut both, &mut messages);
            four_rounds::<2>(&mut both, &mut messages);
            four_rounds::<3>(&mut both, &mut messages);
            four_rounds::<4>(&mut both, &mut messages);
            four_rounds::<5>(&mut both, &mut messages);
            four_rounds::<6>(&mut both, &mut messages);
            four_rounds::<7>(&mut both, &mut messages);
            four_rounds::<8>(&mut both, &mut messages);
            four_rounds::<9>(&mut both, &mut messages);
            four_rounds::<10>(&mut both, &mut messages);
            four_rounds::<11>(&mut both, &mut messages);
            four_rounds::<12>(&mut both, &mut messages);
            four_rounds::<13>(&mut both, &mut messages);
            four_rounds::<14>(&mut both, &mut messages);
            four_rounds::<15>(&mut both, &mut messages);
            [one, other] = from_fn(|lane| sum(before[lane], both[lane]));
        }
        let [of_one, of_other] = states;
        *of_one = words(one);
        *of_other = words(other);
    }

    /// Four rounds of each, and the four words of the messages that come sixteen later.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn four_rounds<const NUMBER: usize>(states: &mut [Halves; 2], messages: &mut [Message; 2]) {
        let constants = vector(ROUNDS[NUMBER]);
        let words = messages.map(|message| _mm_add_epi32(message[NUMBER % 4], constants));
        for (state, words) in states.iter_mut().zip(words) {
            state[1] = _mm_sha256rnds2_epu32(state[1], state[0], words);
        }
        if NUMBER < 12 {
            messages.iter_mut().for_each(|message| {
                message[NUMBER % 4] = next_words::<NUMBER>(message);
            });
        }
        for (state, words) in states.iter_mut().zip(words) {
            let upper = _mm_shuffle_epi32::<0b00_00_11_10>(words);
            state[0] = _mm_sha256rnds2_epu32(state[0], state[1], upper);
        }
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn next_words<const NUMBER: usize>(message: &Message) -> __m128i {
        let [first, second, third, last]: Message = from_fn(|at| message[(NUMBER + at) % 4]);
        let across = _mm_alignr_epi8::<4>(last, third);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(first, second), across);
        _mm_sha256msg2_epu32(sum, last)
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn message(block: &[u8; BLOCK]) -> Message {
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let (quarters, _) = block.as_chunks::<8>();
        let half = |at: usize| i64::from_le_bytes(quarters[at]);
        from_fn(|at| {
            let bytes = _mm_set_epi64x(half(2 * at + 1), half(2 * at));
            _mm_shuffle_epi8(bytes, big_endian)
        })
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn halves(state: &State) -> Halves {
        let [a, b, c, d, e, f, g, h] = *state;
        [vector([f, e, b, a]), vector([h, g, d, c])]
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn words([abef, cdgh]: Halves) -> State {
        let lane = [
            _mm_extract_epi32::<3>(abef),
            _mm_extract_epi32::<2>(abef),
            _mm_extract_epi32::<3>(cdgh),
            _mm_extract_epi32::<2>(cdgh),
            _mm_extract_epi32::<1>(abef),
            _mm_extract_epi32::<0>(abef),
            _mm_extract_epi32::<1>(cdgh),
            _mm_extract_epi32::<0>(cdgh),
        ];
        lane.map(i32::cast_unsigned)
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn sum(one: Halves, other: Halves) -> Halves {
        from_fn(|half| _mm_add_epi32(one[half], other[half]))
    }

    /// The words, lowest lane first.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn vector(words: [u32; 4]) -> __m128i {
        let [first, second, third, last] = words.map(u32::cast_signed);
        _mm_set_epi32(last, third, second, first)
    }

    /// FIPS 180-4, section 4.2.2.
    const ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];
}
