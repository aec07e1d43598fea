//! Proofs that a log has an entry: hashes up to the root of its tree (RFC 9162, section 2.1.3.2), and a
//! checkpoint that says what the root is, in the form of a signed note.

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{decoded, whole_number};
use crate::key::Key;

/// Longest path in a tree whose size fits into 63 bits.
const LONGEST_PATH: usize = 64;
/// Before the lines with signatures of a note.
const SIGNATURE: &str = "\u{2014} ";
/// The key's fingerprint in front of a signature, in bytes.
const HINT: usize = 4;

type Node = [u8; 32];

/// A proof, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    index: u64,
    size: u64,
    path: Vec<Node>,
    checkpoint: String,
}

/// The form in bundles.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BundleProof {
    #[serde(default, deserialize_with = "whole_number")]
    log_index: i64,
    #[serde(default, deserialize_with = "whole_number")]
    tree_size: i64,
    #[serde(default)]
    hashes: Vec<String>,
    checkpoint: BundleCheckpoint,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct BundleCheckpoint {
    envelope: String,
}

impl Proof {
    pub(super) fn from_bundle(proof: BundleProof) -> Result<Self, String> {
        let malformed = || "the log's inclusion proof is malformed".to_owned();
        if proof.hashes.len() > LONGEST_PATH {
            return Err(malformed());
        }
        let node = |text: &String| Node::try_from(decoded(text)?).map_err(|_| malformed());
        Ok(Self {
            index: u64::try_from(proof.log_index).map_err(|_| malformed())?,
            size: u64::try_from(proof.tree_size).map_err(|_| malformed())?,
            path: proof.hashes.iter().map(node).collect::<Result<_, _>>()?,
            checkpoint: proof.checkpoint.envelope,
        })
    }

    /// Whether a tree that one of the logs signed has the entry.
    pub(super) fn verify(&self, body: &[u8], logs: &[Key]) -> Result<(), String> {
        let (size, root) = checkpoint(&self.checkpoint, logs)?;
        let proven = root_above(body, self.index, self.size, &self.path);
        if size != self.size || proven != Some(root) {
            return Err("the log's inclusion proof does not lead to its checkpoint".to_owned());
        }
        Ok(())
    }
}

/// The root of a tree with `size` leaves that has `leaf` at `index`; none when the path has another length
/// than that takes.
fn root_above(leaf: &[u8], index: u64, size: u64, path: &[Node]) -> Option<Node> {
    let mut last = size.checked_sub(1)?;
    let mut at = (index <= last).then_some(index)?;
    let mut node: Node = Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into();
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            node = parent(sibling, &node);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            node = parent(&node, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(node)
}

fn parent(left: &Node, right: &Node) -> Node {
    let hash = Sha256::new().chain_update([1]);
    hash.chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// Size and root of the tree that a checkpoint, signed by one of the logs, is about.
fn checkpoint(note: &str, logs: &[Key]) -> Result<(u64, Node), String> {
    let malformed = || "the log's checkpoint is malformed".to_owned();
    let end = note.find("\n\n").ok_or_else(malformed)? + 1;
    let (text, signatures) = note.split_at(end);
    let mut signatures = signatures.lines().filter_map(|line| {
        let (_name, signature) = line.strip_prefix(SIGNATURE)?.rsplit_once(' ')?;
        decoded(signature).ok()?.get(HINT..).map(<[u8]>::to_vec)
    });
    let by_log = |signature: Vec<u8>| {
        let mut logs = logs.iter();
        logs.any(|log| log.verifies(text.as_bytes(), &signature))
    };
    if !signatures.any(by_log) {
        return Err("no trusted log signed the checkpoint".to_owned());
    }
    let mut lines = text.lines().skip(1);
    let size = lines.next().and_then(|line| line.parse().ok());
    let root = lines.next().and_then(|line| decoded(line).ok());
    let root = root.and_then(|root| Node::try_from(root).ok());
    size.zip(root).ok_or_else(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition in RFC 9162, section 2.1.1, which knows nothing of paths.
    fn root(leaves: &[Vec<u8>]) -> Node {
        match leaves {
            [leaf] => Sha256::new()
                .chain_update([0])
                .chain_update(leaf)
                .finalize()
                .into(),
            _ => {
                let left = leaves.len().next_power_of_two() / 2;
                parent(&root(&leaves[..left]), &root(&leaves[left..]))
            }
        }
    }

    /// Section 2.1.3.1.
    fn path(leaves: &[Vec<u8>], index: usize) -> Vec<Node> {
        if leaves.len() == 1 {
            return Vec::new();
        }
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let (mut below, beside) = match index.checked_sub(left.len()) {
            None => (path(left, index), root(right)),
            Some(index) => (path(right, index), root(left)),
        };
        below.push(beside);
        below
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_no_other() {
        let leaves: Vec<Vec<u8>> = (0..20_u8).map(|n| vec![n; 3]).collect();
        for size in 1..=leaves.len() {
            let expected = root(&leaves[..size]);
            for index in 0..size {
                let path = path(&leaves[..size], index);
                let above = |leaf: &[u8], index: usize, size: usize, path: &[Node]| {
                    root_above(leaf, index as u64, size as u64, path)
                };
                let leaf = &leaves[index];
                assert_eq!(above(leaf, index, size, &path), Some(expected));
                assert_ne!(above(b"other", index, size, &path), Some(expected));
                assert_eq!(above(leaf, size, size, &path), None);
                let longer = [path.as_slice(), &[expected]].concat();
                assert_eq!(above(leaf, index, size, &longer), None);
                if let Some((_, shorter)) = path.split_last() {
                    assert_eq!(above(leaf, index, size, shorter), None);
                }
            }
        }
        assert_eq!(root_above(b"", 0, 0, &[]), None);
    }
}
