//! The order in which GLib's dictionaries give their entries back. The checksum of a bootable commit
//! depends on it, because `ostree` keeps the metadata of such commits in one.
//!
//! Source: GLib's documentation of `g_str_hash` and the behaviour of its hash table: open addressing
//! in eight slots, the first tried is eleven times the hash modulo seven, then by growing steps.

use ostree_format::Metadata;
use ostree_format::gvariant::Value;

const SLOTS: usize = 8;

/// The same entries as GLib would order them; those of more than seven entries stay as they are.
pub(super) fn reorder(metadata: Metadata) -> Metadata {
    if metadata.iter().count() >= SLOTS {
        return metadata;
    }
    let mut slots: [Option<(&str, &Value)>; SLOTS] = [None; SLOTS];
    for (key, value) in metadata.iter() {
        slots[free_slot(key, |slot| slots[slot].is_some())] = Some((key, value));
    }
    let mut ordered = Metadata::new();
    for (key, value) in slots.into_iter().flatten() {
        ordered.insert(key, value.clone());
    }
    ordered
}

/// The slot that a new key takes.
fn free_slot(key: &str, is_taken: impl Fn(usize) -> bool) -> usize {
    let first = hash(key).wrapping_mul(11) % 7;
    let mut slot = usize::try_from(first).unwrap_or_default();
    let mut step = 0;
    while is_taken(slot) {
        step += 1;
        slot = (slot + step) % SLOTS;
    }
    slot
}

/// `g_str_hash`; 0 and 1 stand for slots without an entry.
fn hash(key: &str) -> u32 {
    let hash = key.bytes().fold(5381_u32, |hash, byte| {
        let signed = i32::from(i8::from_ne_bytes([byte]));
        hash.wrapping_mul(33).wrapping_add_signed(signed)
    });
    hash.max(2)
}
