//! Files with several names.

use std::collections::HashMap;
use std::sync::Arc;

use tree::Node as TreeNode;

use super::{File, ImageTree};

/// Which file it is: the address of its allocation, which is only compared.
pub(super) type Identity = usize;

pub(super) fn identity(file: &Arc<File>) -> Identity {
    Arc::as_ptr(file).addr()
}

/// What is known of a file with several names.
#[derive(Debug, Default)]
struct Link {
    names: u32,
    /// The directory of the name that comes first, depth first.
    home: usize,
    node: Option<usize>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<Identity, Link>);

impl Links {
    /// Those of a tree.
    pub(super) fn of(tree: &ImageTree) -> Self {
        let mut links = Self::default();
        links.visit(tree);
        links
    }

    fn visit(&mut self, dir: &ImageTree) {
        for node in dir.children.values() {
            match node {
                TreeNode::Dir(below) => self.visit(below),
                TreeNode::Leaf(File::Linked(file)) => {
                    let link = self.0.entry(identity(file)).or_default();
                    if link.names == 0 {
                        link.home = address(dir);
                    }
                    link.names += 1;
                }
                TreeNode::Leaf(_) => {}
            }
        }
    }

    /// How many names it has.
    pub(super) fn names(&self, file: Identity) -> u32 {
        self.0.get(&file).map_or(1, |link| link.names)
    }

    /// Whether its inode takes its place when `dir` is gone through.
    pub(super) fn is_at_home(&self, file: Identity, dir: &ImageTree) -> bool {
        self.0
            .get(&file)
            .is_none_or(|link| link.home == address(dir))
    }

    /// Its inode, if it has one already.
    pub(super) fn node(&self, file: Identity) -> Option<usize> {
        self.0.get(&file)?.node
    }

    pub(super) fn set_node(&mut self, file: Identity, node: usize) {
        self.0.entry(file).or_default().node = Some(node);
    }
}

fn address(dir: &ImageTree) -> usize {
    std::ptr::from_ref(dir).addr()
}
