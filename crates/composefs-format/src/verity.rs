use std::io;

/// A block, of data as of digests.
pub(crate) use hash_lanes::BLOCK;
use hash_lanes::{LANES, Lanes};
use sha2::{Digest as _, Sha256, Sha512};

use crate::{Algorithm, Digest};

/// Bytes that are hashed at once.
const GROUP: usize = LANES * BLOCK;

/// Computes the digest that fs-verity would give a file, from its bytes in order: a tree of hashes over
/// blocks of 4096 bytes, without salt, then the hash of the descriptor.
///
/// Source: `Documentation/filesystems/fsverity.rst`, "Merkle tree" and "fs-verity descriptor".
#[derive(Debug, Clone)]
pub struct VerityHasher {
    algorithm: Algorithm,
    size: u64,
    /// Data that does not fill a group of blocks yet.
    data: Vec<u8>,
    /// Digests that do not fill a block yet, lowest level first.
    levels: Vec<Vec<u8>>,
}

impl VerityHasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub const fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            size: 0,
            data: Vec::new(),
            levels: Vec::new(),
        }
    }

    /// The digest of a file with this content.
    #[must_use]
    pub fn digest(algorithm: Algorithm, content: &[u8]) -> Digest {
        let mut hasher = Self::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// Take in the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        if !self.data.is_empty() {
            let (head, rest) = bytes.split_at(bytes.len().min(GROUP - self.data.len()));
            self.data.extend_from_slice(head);
            bytes = rest;
            if self.data.len() < GROUP {
                return;
            }
            let data = std::mem::take(&mut self.data);
            self.push_blocks(&data);
            self.data = data;
            self.data.clear();
        }
        let (groups, rest) = bytes.split_at(bytes.len() - bytes.len() % GROUP);
        self.push_blocks(groups);
        self.data.extend_from_slice(rest);
    }

    /// Take in whole blocks.
    fn push_blocks(&mut self, blocks: &[u8]) {
        let (blocks, _) = blocks.as_chunks();
        for group in blocks.chunks(LANES) {
            let group: Vec<_> = group.iter().collect();
            hash_group(self.algorithm, &group, |_, digest| self.push(0, digest));
        }
    }

    /// The digest of everything that was taken in.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        let root = self.root();
        of_descriptor(self.algorithm, self.size, &root)
    }

    /// The digests of several files, in their order: small ones have too few blocks to fill the processor's vectors, but
    /// have them together.
    #[must_use]
    pub fn digests(algorithm: Algorithm, contents: &[&[u8]]) -> Vec<Digest> {
        let mut levels = hash_level(algorithm, contents);
        let is_root = |level: &Vec<u8>| level.len() <= algorithm.digest_size();
        while !levels.iter().all(is_root) {
            let lower = |level| if is_root(level) { &[] } else { &**level };
            let lower: Vec<&[u8]> = levels.iter().map(lower).collect();
            let higher = hash_level(algorithm, &lower);
            let both = levels.iter_mut().zip(higher);
            both.for_each(|(level, higher)| {
                if !higher.is_empty() {
                    *level = higher;
                }
            });
        }
        let roots = levels.into_iter().zip(contents);
        let digest = |(mut root, content): (Vec<u8>, &&[u8])| {
            root.resize(algorithm.digest_size(), 0);
            of_descriptor(algorithm, content.len() as u64, &root)
        };
        roots.map(digest).collect()
    }

    fn push(&mut self, level: usize, digest: &[u8]) {
        if self.levels.len() == level {
            self.levels.push(Vec::with_capacity(BLOCK));
        }
        let Some(pending) = self.levels.get_mut(level) else {
            return;
        };
        pending.extend_from_slice(digest);
        if pending.len() == BLOCK {
            let digest = hash(self.algorithm, pending);
            pending.clear();
            self.push(level + 1, &digest);
        }
    }

    /// The top of the tree: the only digest of its level. Of no data it is all zeros.
    fn root(&mut self) -> Vec<u8> {
        let pad = |mut block: Vec<u8>| {
            block.resize(BLOCK, 0);
            block
        };
        let mut data = std::mem::take(&mut self.data);
        data.resize(data.len().next_multiple_of(BLOCK), 0);
        self.push_blocks(&data);
        let mut level = 0;
        while level < self.levels.len() {
            let pending = std::mem::take(&mut self.levels[level]);
            let is_top = level + 1 == self.levels.len();
            if is_top && pending.len() == self.algorithm.digest_size() {
                return pending;
            }
            if !pending.is_empty() {
                self.push(level + 1, &hash(self.algorithm, &pad(pending)));
            }
            level += 1;
        }
        vec![0; self.algorithm.digest_size()]
    }
}

impl io::Write for VerityHasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hash(algorithm: Algorithm, block: &[u8]) -> Vec<u8> {
    match algorithm {
        Algorithm::Sha256 => Sha256::digest(block).to_vec(),
        Algorithm::Sha512 => Sha512::digest(block).to_vec(),
    }
}

/// Hashes a group of blocks, several at once where that is faster; `each` gets the number of a block and its digest.
fn hash_group(algorithm: Algorithm, group: &[&[u8; BLOCK]], mut each: impl FnMut(usize, &[u8])) {
    let lanes = Lanes::detect().filter(|_| algorithm == Algorithm::Sha512);
    let done = lanes.map_or(0, |lanes| lanes.sha512(group, &mut each));
    for (number, block) in group.iter().enumerate().skip(done) {
        each(number, &hash(algorithm, *block));
    }
}

/// The digests of the blocks of each of these, one after the other.
fn hash_level(algorithm: Algorithm, lower: &[&[u8]]) -> Vec<Vec<u8>> {
    let padded = |bytes: &&[u8]| {
        let mut block = [0; BLOCK];
        let (_, rest) = bytes.as_chunks::<BLOCK>();
        block[..rest.len()].copy_from_slice(rest);
        (!rest.is_empty()).then_some(block)
    };
    let last: Vec<Option<[u8; BLOCK]>> = lower.iter().map(padded).collect();
    let mut blocks: Vec<(usize, &[u8; BLOCK])> = Vec::new();
    for (place, (bytes, last)) in lower.iter().zip(&last).enumerate() {
        let whole = bytes.as_chunks().0.iter();
        blocks.extend(whole.chain(last).map(|block| (place, block)));
    }
    let mut digests = vec![Vec::new(); lower.len()];
    for group in blocks.chunks(LANES) {
        let of_group: Vec<_> = group.iter().map(|(_, block)| *block).collect();
        hash_group(algorithm, &of_group, |number, digest| {
            let place = group
                .get(number)
                .and_then(|(place, _)| digests.get_mut(*place));
            if let Some(digests) = place {
                digests.extend_from_slice(digest);
            }
        });
    }
    digests
}

/// The digest of a file of `size` bytes whose tree of hashes has this root.
fn of_descriptor(algorithm: Algorithm, size: u64, root: &[u8]) -> Digest {
    // version, algorithm, log2 of the block size, size of the salt; size of the data; root; salt.
    let mut descriptor = [0; 256];
    descriptor[..4].copy_from_slice(&[1, algorithm.number(), 12, 0]);
    descriptor[8..16].copy_from_slice(&size.to_le_bytes());
    descriptor[16..16 + root.len()].copy_from_slice(root);
    match algorithm {
        Algorithm::Sha256 => Digest::Sha256(Sha256::digest(descriptor).into()),
        Algorithm::Sha512 => Digest::Sha512(Sha512::digest(descriptor).into()),
    }
}
