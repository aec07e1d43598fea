//! The new `/etc` in memory: every step is tried on it before anything is done on disk.

use std::collections::VecDeque;

use tree::{Name, Node};

use super::tree::{EtcLeaf, EtcTree};

/// How many links may stand one behind the other, as in the kernel.
const MAX_LINKS: usize = 40;

/// A path below `/etc`, one name per component.
pub(super) type EtcPath = Vec<Name>;

/// What a path leads to when links on the way are followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// A directory, by its path without links.
    Directory(EtcPath),
    /// Nothing; but its parent directory is there, by its path without links.
    Missing { parent: EtcPath },
    /// Nothing, and no parent either.
    NoParent,
    /// Something that is no directory, or a link to nothing.
    NotDirectory,
    /// A place outside of `/etc`.
    Outside,
}

pub(super) fn node<'a>(
    tree: &'a EtcTree,
    path: &[Name],
) -> Option<&'a Node<super::EtcMeta, EtcLeaf>> {
    tree.get(path.iter().map(Name::as_bytes))
}

pub(super) fn dir_mut<'a>(tree: &'a mut EtcTree, path: &[Name]) -> Option<&'a mut EtcTree> {
    tree.dir_mut(path.iter().map(Name::as_bytes))
}

/// Follow `path` to a directory, as the kernel would below `/etc`.
pub(super) fn walk(tree: &EtcTree, path: &[Name]) -> Walk {
    let own = path.iter().map(|name| (name.as_bytes().to_vec(), true));
    let mut ahead: VecDeque<(Vec<u8>, bool)> = own.collect();
    let mut at: EtcPath = Vec::new();
    let mut links = 0;
    while let Some((part, is_own)) = ahead.pop_front() {
        if part == b".." {
            if at.pop().is_none() {
                return Walk::Outside;
            }
            continue;
        }
        let Ok(name) = Name::new(&part) else {
            return Walk::NotDirectory;
        };
        at.push(name);
        match node(tree, &at) {
            Some(Node::Dir(_)) => {}
            Some(Node::Leaf(EtcLeaf::Link { target, .. })) => {
                links += 1;
                if target.first() == Some(&b'/') {
                    return Walk::Outside;
                }
                if links > MAX_LINKS {
                    return Walk::NotDirectory;
                }
                at.pop();
                ahead = parts(target).chain(ahead).collect();
            }
            Some(Node::Leaf(_)) => return Walk::NotDirectory,
            None if !ahead.is_empty() => return Walk::NoParent,
            // A link that leads to nothing is in the way of a directory.
            None if !is_own => return Walk::NotDirectory,
            None => {
                at.pop();
                return Walk::Missing { parent: at };
            }
        }
    }
    Walk::Directory(at)
}

/// The parts of a link's target, none of them of the path that is followed itself.
fn parts(target: &[u8]) -> impl Iterator<Item = (Vec<u8>, bool)> {
    let parts = target.split(|byte| *byte == b'/');
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    parts.map(|part| (part.to_vec(), false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etc::EtcMeta;
    use tree::Dir;

    const META: EtcMeta = EtcMeta {
        uid: 0,
        gid: 0,
        mode: 0o755,
    };

    fn path(text: &str) -> EtcPath {
        text.split('/')
            .map(|part| Name::new(part.as_bytes()).unwrap())
            .collect()
    }

    fn link(tree: &mut EtcTree, at: &str, target: &str) {
        let target = target.as_bytes().to_vec();
        let leaf = Node::Leaf(EtcLeaf::Link { meta: META, target });
        tree.children
            .insert(Name::new(at.as_bytes()).unwrap(), leaf);
    }

    #[test]
    fn follows_links_but_not_out() {
        let mut tree = Dir::new(META);
        let mut real = Dir::new(META);
        real.children
            .insert(Name::new(b"sub").unwrap(), Node::Dir(Dir::new(META)));
        tree.children
            .insert(Name::new(b"real").unwrap(), Node::Dir(real));
        for (name, target) in [
            ("in", "real"),
            ("out", "/usr"),
            ("up", "../x"),
            ("loop", "loop"),
            ("gone", "nowhere"),
        ] {
            link(&mut tree, name, target);
        }
        let walk = |text| walk(&tree, &path(text));
        assert_eq!(walk("in/sub"), Walk::Directory(path("real/sub")));
        assert_eq!(
            walk("in/new"),
            Walk::Missing {
                parent: path("real")
            }
        );
        assert_eq!(walk("new"), Walk::Missing { parent: Vec::new() });
        assert_eq!(walk("new/new"), Walk::NoParent);
        assert_eq!(walk("out/x"), Walk::Outside);
        assert_eq!(walk("up"), Walk::Outside);
        assert_eq!(walk("loop"), Walk::NotDirectory);
        assert_eq!(walk("gone"), Walk::NotDirectory);
    }
}
