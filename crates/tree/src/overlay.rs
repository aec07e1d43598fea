//! Laying one layer over what is below it.
//!
//! Source of the whiteout names: OCI image specification, "Image Layer Filesystem Changeset". Two points
//! follow the existing importer (ostree-ext lays layers with libostree's union checkout), so that the
//! merged tree has the same checksums: a directory that exists already keeps its metadata, and a
//! directory made opaque is taken anew.

use crate::{Dir, Name, Node};

/// In front of the name that a whiteout removes.
const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// Removes everything that layers below put into the directory.
const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";

impl<D, L> Dir<D, L> {
    /// Lay `upper` over this tree: its whiteouts take away, its entries replace.
    ///
    /// Whiteouts only concern what is below; an entry of `upper` is never removed by one of `upper`.
    pub fn overlay(&mut self, upper: Self) {
        if upper.is_opaque() {
            *self = upper.without_whiteouts();
            return;
        }
        for name in upper.children.keys() {
            if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT_PREFIX) {
                self.children.remove(hidden);
            }
        }
        for (name, node) in upper.children {
            if !is_whiteout(&name) {
                self.lay(name, node);
            }
        }
    }

    fn lay(&mut self, name: Name, node: Node<D, L>) {
        let node = match node {
            Node::Leaf(leaf) => Node::Leaf(leaf),
            Node::Dir(upper) => {
                if let Some(Node::Dir(lower)) = self.children.get_mut(name.as_bytes()) {
                    lower.overlay(upper);
                    return;
                }
                Node::Dir(upper.without_whiteouts())
            }
        };
        self.children.insert(name, node);
    }

    /// The tree that remains when there is nothing below it.
    #[must_use]
    pub fn without_whiteouts(mut self) -> Self {
        self.drop_whiteouts();
        self
    }

    fn drop_whiteouts(&mut self) {
        self.children.retain(|name, _| !is_whiteout(name));
        for node in self.children.values_mut() {
            if let Node::Dir(dir) = node {
                dir.drop_whiteouts();
            }
        }
    }

    fn is_opaque(&self) -> bool {
        self.children.contains_key(OPAQUE_WHITEOUT)
    }
}

fn is_whiteout(name: &Name) -> bool {
    name.as_bytes().starts_with(WHITEOUT_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Tree = Dir<u32, &'static str>;

    /// Paths ending in `/` are directories; the number is the metadata of all of them.
    fn tree(meta: u32, paths: &[(&str, &'static str)]) -> Tree {
        let mut root = Dir::new(meta);
        for (path, leaf) in paths {
            let mut dir = &mut root;
            let (parents, last) = path.rsplit_once('/').unwrap_or(("", path));
            for part in parents.split('/').filter(|p| !p.is_empty()) {
                let node = dir
                    .children
                    .entry(Name::new(part.as_bytes()).unwrap())
                    .or_insert_with(|| Node::Dir(Dir::new(meta)));
                let Node::Dir(next) = node else {
                    panic!("{path}")
                };
                dir = next;
            }
            if !last.is_empty() {
                dir.children
                    .insert(Name::new(last.as_bytes()).unwrap(), Node::Leaf(*leaf));
            }
        }
        root
    }

    fn merged(lower: &[(&str, &'static str)], upper: &[(&str, &'static str)]) -> Tree {
        let mut below = tree(0, lower);
        below.overlay(tree(0, upper));
        below
    }

    #[test]
    fn entries_replace_and_add() {
        let result = merged(&[("a", "1"), ("d/x", "1")], &[("a", "2"), ("d/y", "2")]);
        assert_eq!(result, tree(0, &[("a", "2"), ("d/x", "1"), ("d/y", "2")]));
    }

    #[test]
    fn types_replace_each_other() {
        assert_eq!(
            merged(&[("a/b/c", "1")], &[("a", "2")]),
            tree(0, &[("a", "2")])
        );
        assert_eq!(
            merged(&[("a", "1")], &[("a/b", "2")]),
            tree(0, &[("a/b", "2")])
        );
    }

    #[test]
    fn whiteouts_remove_only_from_below() {
        let lower = &[("a", "1"), ("d/x", "1"), ("d/y", "1")];
        assert_eq!(
            merged(
                lower,
                &[(".wh.a", ""), ("d/.wh.x", ""), ("d/.wh.absent", "")]
            ),
            tree(0, &[("d/y", "1")])
        );
        // `!new` sorts before its own whiteout and must survive it.
        assert_eq!(
            merged(&[("!new", "1")], &[("!new", "2"), (".wh.!new", "")]),
            tree(0, &[("!new", "2")])
        );
        assert_eq!(
            merged(lower, &[(".wh.d", ""), ("d/z", "2")]),
            tree(0, &[("a", "1"), ("d/z", "2")])
        );
    }

    #[test]
    fn opaque_hides_everything_below() {
        assert_eq!(
            merged(
                &[("d/x", "1"), ("d/e/f", "1")],
                &[("d/.wh..wh..opq", ""), ("d/z", "2")]
            ),
            tree(0, &[("d/z", "2")])
        );
    }

    #[test]
    fn whiteouts_without_anything_below_vanish() {
        let result = merged(
            &[],
            &[("n/.wh.q", ""), ("n/m/.wh..wh..opq", ""), ("n/k", "2")],
        );
        assert_eq!(result, tree(0, &[("n/k", "2"), ("n/m/", "")]));
    }

    #[test]
    fn directory_metadata_is_that_of_the_first_layer_unless_taken_anew() {
        let mut below = tree(1, &[("d/x", "1"), ("o/x", "1")]);
        below.overlay(tree(
            2,
            &[("d/y", "2"), ("o/.wh..wh..opq", ""), ("n/z", "2")],
        ));
        let metas: BTreeMap<_, _> = below
            .children
            .iter()
            .map(|(name, node)| (name.to_string(), node.as_dir().unwrap().meta))
            .collect();
        assert_eq!(
            metas,
            [("d", 1), ("n", 2), ("o", 2)]
                .map(|(n, m)| (n.to_owned(), m))
                .into()
        );
        assert_eq!(below.meta, 1);
    }
}
