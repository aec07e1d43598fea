//! Equal stretches of two files, found by cutting both where their content says so.
//!
//! A cut depends on the last 64 bytes only, so inserted or removed bytes move the cuts behind them along, and
//! the stretches between are found again. Where the cuts lie is no part of the format.

use std::collections::HashMap;

/// Stretches have eight kilobytes on average ...
const CUT_BITS: u32 = 13;
/// ... and at most four times that.
const MAX_STRETCH: usize = 32 * 1024;

/// Bytes of the old file that stand in the new one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Where they begin in the old file.
    pub from: u64,
    /// Where they begin in the new file.
    pub to: u64,
    /// How many.
    pub length: u64,
}

/// What of `new` is found in `old`, in the order of the new file.
#[must_use]
pub fn matches(old: &[u8], new: &[u8]) -> Vec<Match> {
    let mut known = HashMap::new();
    for (at, stretch) in stretches(old) {
        known.entry(stretch).or_insert(at);
    }
    let mut found: Vec<Match> = Vec::new();
    for (to, stretch) in stretches(new) {
        let Some(&from) = known.get(stretch) else {
            continue;
        };
        let length = stretch.len() as u64;
        match found.last_mut() {
            Some(last) if last.to + last.length == to && last.from + last.length == from => {
                last.length += length;
            }
            _ => found.push(Match { from, to, length }),
        }
    }
    found
}

/// The stretches of `bytes`, with their places.
fn stretches(bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let length = cut(rest);
        let place = at as u64;
        at += length;
        Some((place, rest.get(..length)?))
    })
}

/// The length of the stretch that `bytes` begin with.
fn cut(bytes: &[u8]) -> usize {
    let mut hash = 0u64;
    for (index, byte) in bytes.iter().take(MAX_STRETCH).enumerate() {
        // The factor spreads a byte over the word; shifting drops it after 64 more.
        hash = (hash << 1).wrapping_add((u64::from(*byte) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        if hash >> (64 - CUT_BITS) == 0 {
            return index + 1;
        }
    }
    bytes.len().min(MAX_STRETCH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that look random and are always the same.
    fn noise(length: usize, mut seed: u64) -> Vec<u8> {
        let step = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        std::iter::repeat_with(step).take(length).collect()
    }

    #[test]
    fn most_is_found_again_behind_inserted_bytes() {
        let old = noise(300_000, 7);
        let mut new = old.clone();
        new.splice(100_000..100_000, *b"inserted");
        let found: u64 = matches(&old, &new).iter().map(|m| m.length).sum();
        assert!(found > 200_000, "{found}");
    }

    #[test]
    fn nothing_is_found_in_other_bytes() {
        assert_eq!(matches(&noise(300_000, 7), &noise(300_000, 8)), []);
        assert_eq!(matches(b"", b"abc"), []);
    }

    proptest! {
        #[test]
        fn what_is_found_is_equal_and_in_order(
            pieces in proptest::collection::vec((0u64..4, 1usize..50_000), 0..6),
            others in proptest::collection::vec((0u64..4, 1usize..50_000), 0..6),
        ) {
            let build = |pieces: &[(u64, usize)]| -> Vec<u8> {
                pieces.iter().flat_map(|(seed, length)| noise(*length, *seed)).collect()
            };
            let (old, new) = (build(&pieces), build(&others));
            let mut end = 0;
            for found in matches(&old, &new) {
                prop_assert!(found.to >= end);
                end = found.to + found.length;
                let range = |at: u64| at as usize..(at + found.length) as usize;
                prop_assert_eq!(&old[range(found.from)], &new[range(found.to)]);
            }
        }
    }
}
