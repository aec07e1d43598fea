//! The inodes of an image in their order: breadth first, directories by name.

use std::borrow::Cow;
use std::collections::VecDeque;

use tree::{Dir, Node as TreeNode};

use super::xattrs::{self, Xattr};
use super::{Attributes, File, ImageError, ImageTree};
use crate::Digest;

/// Types of files in modes (`S_IFMT`) and in directories (`EROFS_FT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) mode: u32,
    pub(super) number: u8,
}

pub(super) const REGULAR: Kind = Kind {
    mode: 0o100_000,
    number: 1,
};
pub(super) const DIRECTORY: Kind = Kind {
    mode: 0o040_000,
    number: 2,
};
pub(super) const CHARACTER_DEVICE: Kind = Kind {
    mode: 0o020_000,
    number: 3,
};
pub(super) const SYMLINK: Kind = Kind {
    mode: 0o120_000,
    number: 7,
};

/// An inode.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) kind: Kind,
    pub(super) permissions: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// In the order of names.
    pub(super) xattrs: Vec<Xattr<'t>>,
    pub(super) body: Body<'t>,
}

#[derive(Debug)]
pub(super) enum Body<'t> {
    Dir(Vec<Entry<'t>>),
    /// Content elsewhere, of this size.
    External(u64),
    /// Content or target.
    Bytes(&'t [u8]),
    Nothing,
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Entry<'t> {
    pub(super) name: Cow<'t, [u8]>,
    /// Index of the inode.
    pub(super) node: usize,
    pub(super) kind: Kind,
}

impl Node<'_> {
    /// Names that stand for it.
    pub(super) fn links(&self) -> u32 {
        match &self.body {
            // Its name, its ".", and the ".." of every directory in it.
            Body::Dir(entries) => {
                let dirs = entries.iter().filter(|entry| entry.kind == DIRECTORY);
                u32::try_from(dirs.count()).unwrap_or(u32::MAX)
            }
            _ => 1,
        }
    }
}

/// All inodes of a tree, the root first.
pub(super) fn collect(tree: &ImageTree) -> Result<Vec<Node<'_>>, ImageError> {
    let mut root = directory(&tree.meta, "/")?;
    xattrs::set(&mut root.xattrs, b"trusted.overlay.opaque", b"y");
    let mut nodes = vec![root];
    let mut queue = VecDeque::from([(tree, 0, 0, String::new())]);
    while let Some((dir, parent, me, path)) = queue.pop_front() {
        let mut entries = vec![
            entry(Cow::Borrowed(b"."), me, DIRECTORY),
            entry(Cow::Borrowed(b".."), parent, DIRECTORY),
        ];
        for (name, child) in children(dir, me == 0) {
            let path = format!("{path}/{}", name.escape_ascii());
            let node = match child {
                Child::Dir(below) => {
                    queue.push_back((below, me, nodes.len(), path.clone()));
                    directory(&below.meta, &path)?
                }
                Child::Leaf(file) => leaf(file, &path)?,
                Child::Whiteout => whiteout(&tree.meta),
            };
            entries.push(entry(name, nodes.len(), node.kind));
            nodes.push(node);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        nodes[me].body = Body::Dir(entries);
    }
    Ok(nodes)
}

fn entry(name: Cow<'_, [u8]>, node: usize, kind: Kind) -> Entry<'_> {
    Entry { name, node, kind }
}

enum Child<'t> {
    Dir(&'t Dir<Attributes, File>),
    Leaf(&'t File),
    Whiteout,
}

/// What is in a directory, by name. In the root, whatever has not the name of a directory of objects is
/// joined by a whiteout that has.
fn children(dir: &ImageTree, is_root: bool) -> Vec<(Cow<'_, [u8]>, Child<'_>)> {
    let own = dir.children.iter().map(|(name, node)| {
        let child = match node {
            TreeNode::Dir(below) => Child::Dir(below),
            TreeNode::Leaf(file) => Child::Leaf(file),
        };
        (Cow::Borrowed(name.as_bytes()), child)
    });
    let mut all: Vec<_> = own.collect();
    if is_root {
        let names = (0..=u8::MAX).map(|byte| format!("{byte:02x}").into_bytes());
        let free = names.filter(|name| !dir.children.contains_key(name.as_slice()));
        all.extend(free.map(|name| (Cow::Owned(name), Child::Whiteout)));
        all.sort_by(|a, b| a.0.cmp(&b.0));
    }
    all
}

/// A whiteout belongs to the root's owner and has its SELinux label.
fn whiteout(root: &Attributes) -> Node<'_> {
    let label = root
        .xattrs
        .iter()
        .filter(|(name, _)| name == b"security.selinux");
    let label = label.map(|(name, value)| Xattr::new(name, value));
    Node {
        kind: CHARACTER_DEVICE,
        permissions: 0o644,
        uid: root.uid,
        gid: root.gid,
        xattrs: label.collect(),
        body: Body::Nothing,
    }
}

fn directory<'t>(attributes: &'t Attributes, path: &str) -> Result<Node<'t>, ImageError> {
    node(DIRECTORY, attributes, Body::Dir(Vec::new()), path)
}

fn leaf<'t>(file: &'t File, path: &str) -> Result<Node<'t>, ImageError> {
    match file {
        File::Empty(attributes) => node(REGULAR, attributes, Body::Nothing, path),
        File::Inline(attributes, content) => node(REGULAR, attributes, Body::Bytes(content), path),
        File::Symlink(attributes, target) => {
            if target.is_empty() || target.len() > super::layout::BLOCK {
                return Err(ImageError::Symlink {
                    path: path.to_owned(),
                    length: target.len(),
                });
            }
            node(SYMLINK, attributes, Body::Bytes(target), path)
        }
        File::External {
            attributes,
            size,
            object,
            digest,
        } => {
            let mut node = node(REGULAR, attributes, Body::External(*size), path)?;
            let demand = digest.map_or_else(Vec::new, |digest| metacopy(&digest));
            xattrs::set(&mut node.xattrs, b"trusted.overlay.metacopy", &demand);
            let object = format!("/{object}");
            xattrs::set(
                &mut node.xattrs,
                b"trusted.overlay.redirect",
                object.as_bytes(),
            );
            Ok(node)
        }
    }
}

/// What overlayfs reads a digest from (`struct ovl_metacopy`): version, length, flags, algorithm.
fn metacopy(digest: &Digest) -> Vec<u8> {
    let bytes = digest.as_bytes();
    let length = u8::try_from(4 + bytes.len()).unwrap_or_default();
    let mut value = vec![0, length, 0, digest.algorithm().number()];
    value.extend_from_slice(bytes);
    value
}

fn node<'t>(
    kind: Kind,
    attributes: &'t Attributes,
    body: Body<'t>,
    path: &str,
) -> Result<Node<'t>, ImageError> {
    let xattrs = xattrs::escaped(&attributes.xattrs);
    xattrs::check(&xattrs).map_err(|reason| ImageError::Attributes {
        path: path.to_owned(),
        reason,
    })?;
    Ok(Node {
        kind,
        permissions: attributes.permissions & 0o7777,
        uid: attributes.uid,
        gid: attributes.gid,
        xattrs,
        body,
    })
}
