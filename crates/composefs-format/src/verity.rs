use std::{array, io};

use sha2::{Digest as _, Sha256, Sha512};

use crate::lanes::{LANES, Lanes};
use crate::{Algorithm, Digest};

/// Bytes of a block, of data as of digests.
pub(crate) const BLOCK: usize = 4096;

/// Computes the digest that fs-verity would give a file, from its bytes in order: a tree of hashes over
/// blocks of 4096 bytes, without salt, then the hash of the descriptor.
///
/// Source: `Documentation/filesystems/fsverity.rst`, "Merkle tree" and "fs-verity descriptor".
#[derive(Debug, Clone)]
pub struct VerityHasher {
    algorithm: Algorithm,
    size: u64,
    /// Data that does not fill a block yet.
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
            let (head, rest) = bytes.split_at(bytes.len().min(BLOCK - self.data.len()));
            self.data.extend_from_slice(head);
            bytes = rest;
            if self.data.len() < BLOCK {
                return;
            }
            let digest = hash(self.algorithm, &self.data);
            self.data.clear();
            self.push(0, &digest);
        }
        let (blocks, rest) = bytes.as_chunks();
        self.push_blocks(blocks);
        self.data.extend_from_slice(rest);
    }

    /// Take in whole blocks, several at once where that is faster.
    fn push_blocks(&mut self, blocks: &[[u8; BLOCK]]) {
        let lanes = Lanes::detect().filter(|_| self.algorithm == Algorithm::Sha512);
        for group in blocks.chunks(LANES) {
            match lanes.filter(|lanes| group.len() >= lanes.enough) {
                Some(lanes) => {
                    let filled = array::from_fn(|lane| group.get(lane).unwrap_or(&group[0]));
                    for digest in &lanes.sha512(filled)[..group.len()] {
                        self.push(0, digest);
                    }
                }
                None => group
                    .iter()
                    .for_each(|block| self.push(0, &hash(self.algorithm, block))),
            }
        }
    }

    /// The digest of everything that was taken in.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        let root = self.root();
        // version, algorithm, log2 of the block size, size of the salt; size of the data; root; salt.
        let mut descriptor = [0; 256];
        descriptor[..4].copy_from_slice(&[1, self.algorithm.number(), 12, 0]);
        descriptor[8..16].copy_from_slice(&self.size.to_le_bytes());
        descriptor[16..16 + root.len()].copy_from_slice(&root);
        match self.algorithm {
            Algorithm::Sha256 => Digest::Sha256(Sha256::digest(descriptor).into()),
            Algorithm::Sha512 => Digest::Sha512(Sha512::digest(descriptor).into()),
        }
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
        if !self.data.is_empty() {
            let block = pad(std::mem::take(&mut self.data));
            self.push(0, &hash(self.algorithm, &block));
        }
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
