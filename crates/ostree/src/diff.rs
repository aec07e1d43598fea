//! What differs between two trees, as `ostree diff` tells it.

use ostree_format::Checksum;
use tree::Node;

use crate::Tree;

/// Paths that differ, with a leading slash, in the order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeDiff {
    /// There in both, but with another content, owner, mode, attribute, type or target.
    pub modified: Vec<Vec<u8>>,
    /// Only in the first; what was below a removed directory is not listed.
    pub removed: Vec<Vec<u8>>,
    /// Only in the second, with everything below an added directory.
    pub added: Vec<Vec<u8>>,
}

impl TreeDiff {
    /// Whether there is no difference.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.modified.is_empty() && self.removed.is_empty() && self.added.is_empty()
    }
}

/// Compare two trees by the checksums of what is in them.
#[must_use]
pub fn diff_trees(from: &Tree, to: &Tree) -> TreeDiff {
    let mut diff = TreeDiff::default();
    below(from, to, &mut Vec::new(), &mut diff);
    diff
}

fn below(from: &Tree, to: &Tree, path: &mut Vec<u8>, diff: &mut TreeDiff) {
    for (name, old) in &from.children {
        at(path, name.as_bytes(), |path| {
            match (old, to.children.get(name)) {
                (_, None) => diff.removed.push(path.clone()),
                (Node::Leaf(a), Some(Node::Leaf(b))) if a == b => {}
                (Node::Dir(a), Some(Node::Dir(b))) => {
                    if a.meta != b.meta {
                        diff.modified.push(path.clone());
                    }
                    below(a, b, path, diff);
                }
                (_, Some(_)) => diff.modified.push(path.clone()),
            }
        });
    }
    for (name, new) in &to.children {
        if !from.children.contains_key(name) {
            at(path, name.as_bytes(), |path| added(new, path, diff));
        }
    }
}

fn added(node: &Node<Checksum, Checksum>, path: &mut Vec<u8>, diff: &mut TreeDiff) {
    diff.added.push(path.clone());
    if let Node::Dir(dir) = node {
        for (name, node) in &dir.children {
            at(path, name.as_bytes(), |path| added(node, path, diff));
        }
    }
}

fn at(path: &mut Vec<u8>, name: &[u8], visit: impl FnOnce(&mut Vec<u8>)) {
    let length = path.len();
    path.push(b'/');
    path.extend_from_slice(name);
    visit(path);
    path.truncate(length);
}
