//! The order in which GLib's dictionaries give their entries back. The checksum of a bootable commit
//! depends on it, because `ostree` keeps the metadata of such commits in one (`GVariantDict`).
//!
//! Source: the behaviour of `g_str_hash` and `GHashTable`, which the tests compare with: open addressing
//! with growing steps, in a table that begins with eight slots and grows in place. There is no seed, so the
//! order depends on the keys and on nothing else.

use ostree_format::Metadata;

/// What a hash is taken modulo of, by the logarithm of the number of slots.
const MODULI: [u32; 17] = [
    1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521,
];

/// Logarithm of the number of slots of an empty table.
const SMALLEST: usize = 3;

/// The same entries as GLib would order them.
pub(super) fn reorder(metadata: &Metadata) -> Metadata {
    let mut table = Table::new();
    for (key, _) in metadata.iter() {
        table.insert(key);
    }
    let mut ordered = Metadata::new();
    for key in table.slots.iter().flatten() {
        if let Some(value) = metadata.get(key) {
            ordered.insert(key, value.clone());
        }
    }
    ordered
}

struct Table<'k> {
    slots: Vec<Option<&'k str>>,
    shift: usize,
    count: usize,
}

impl<'k> Table<'k> {
    fn new() -> Self {
        Self {
            slots: vec![None; 1 << SMALLEST],
            shift: SMALLEST,
            count: 0,
        }
    }

    fn insert(&mut self, key: &'k str) {
        let slot = self.free(key, |slot| self.slots[slot].is_some());
        self.slots[slot] = Some(key);
        self.count += 1;
        if self.slots.len() <= self.count + self.count / 16 {
            self.grow();
        }
    }

    /// The slot that a key takes.
    fn free(&self, key: &str, is_taken: impl Fn(usize) -> bool) -> usize {
        let modulus = MODULI[self.shift.min(MODULI.len() - 1)];
        let mut slot = usize::try_from(hash(key).wrapping_mul(11) % modulus).unwrap_or_default();
        let mut step = 0;
        while is_taken(slot) {
            step += 1;
            slot = (slot + step) % self.slots.len();
        }
        slot
    }

    /// Moves every key to its place in a larger table. One that stands where another one belongs is the next
    /// to be moved.
    fn grow(&mut self) {
        let room = self.count * 1333 / 1000;
        let old = self.slots.len();
        self.shift = usize::try_from(usize::BITS - room.leading_zeros()).unwrap_or(SMALLEST);
        self.slots.resize(1 << self.shift, None);
        let mut settled = vec![false; self.slots.len()];
        for slot in 0..old {
            if settled[slot] {
                continue;
            }
            let mut homeless = self.slots[slot].take();
            while let Some(key) = homeless {
                let home = self.free(key, |slot| settled[slot]);
                settled[home] = true;
                homeless = self.slots[home].replace(key);
            }
        }
    }
}

/// `g_str_hash`; 0 and 1 stand for slots without an entry.
fn hash(key: &str) -> u32 {
    let hash = key.bytes().fold(5381_u32, |hash, byte| {
        let signed = i32::from(i8::from_ne_bytes([byte]));
        hash.wrapping_mul(33).wrapping_add_signed(signed)
    });
    hash.max(2)
}
