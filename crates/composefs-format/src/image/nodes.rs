//! The inodes of an image in their order: breadth first, directories by name; depth first in [`Version::V2`].

use std::borrow::Cow;
use std::collections::VecDeque;

use tree::{Dir, Node as TreeNode};

use super::links::{Identity, Links, identity};
use super::xattrs::{self, Xattr};
use super::{Attributes, File, ImageError, ImageTree, Special, Timestamp, Version};
use crate::Digest;

/// Types of files in modes (`S_IFMT`) and in directories (`EROFS_FT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) mode: u32,
    pub(super) number: u8,
}

const fn kind(mode: u32, number: u8) -> Kind {
    Kind { mode, number }
}

pub(super) const REGULAR: Kind = kind(0o100_000, 1);
pub(super) const DIRECTORY: Kind = kind(0o040_000, 2);
pub(super) const CHARACTER_DEVICE: Kind = kind(0o020_000, 3);
pub(super) const BLOCK_DEVICE: Kind = kind(0o060_000, 4);
pub(super) const FIFO: Kind = kind(0o010_000, 5);
pub(super) const SOCKET: Kind = kind(0o140_000, 6);
pub(super) const SYMLINK: Kind = kind(0o120_000, 7);

/// An inode.
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) kind: Kind,
    pub(super) permissions: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timestamp,
    /// Names of a file.
    names: u32,
    /// In the order in which they are written.
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
    /// The number of a device.
    Device(u32),
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
            _ => self.names,
        }
    }
}

/// All inodes of a tree, the root first.
pub(super) fn collect(tree: &ImageTree, version: Version) -> Result<Vec<Node<'_>>, ImageError> {
    let mut collector = Collector {
        version,
        links: Links::of(tree),
        nodes: Vec::new(),
        dirs: Vec::new(),
    };
    if version == Version::V2 {
        collector.depth_first(tree, 0, "/")?;
    } else {
        collector.breadth_first(tree)?;
    }
    Ok(collector.finish())
}

struct Collector<'t> {
    version: Version,
    links: Links,
    nodes: Vec<Node<'t>>,
    /// What is in each directory, once all inodes have their number.
    dirs: Vec<(usize, Vec<Named<'t>>)>,
}

type Named<'t> = (Cow<'t, [u8]>, Which);

#[derive(Clone, Copy)]
enum Which {
    Node(usize),
    Link(Identity),
}

impl<'t> Collector<'t> {
    fn breadth_first(&mut self, tree: &'t ImageTree) -> Result<(), ImageError> {
        let mut root = self.directory(&tree.meta, "/")?;
        xattrs::insert(&mut root.xattrs, b"trusted.overlay.opaque", b"y");
        self.nodes.push(root);
        let mut queue = VecDeque::from([(tree, 0, 0, String::new())]);
        while let Some((dir, parent, me, path)) = queue.pop_front() {
            let mut names = own_names(me, parent);
            for (name, child) in children(dir, me == 0) {
                let path = format!("{path}/{}", name.escape_ascii());
                let which = match child {
                    Child::Dir(below) => {
                        queue.push_back((below, me, self.nodes.len(), path.clone()));
                        let node = self.directory(&below.meta, &path)?;
                        self.push(node)
                    }
                    Child::Leaf(file) => self.leaf_in(dir, file, me, &path)?,
                    Child::Cover => self.push(cover(&tree.meta)),
                };
                names.push((name, which));
            }
            self.dirs.push((me, names));
        }
        Ok(())
    }

    fn depth_first(
        &mut self,
        dir: &'t ImageTree,
        parent: usize,
        path: &str,
    ) -> Result<usize, ImageError> {
        let me = self.nodes.len();
        let node = self.directory(&dir.meta, path)?;
        self.nodes.push(node);
        let mut names = own_names(me, parent);
        for (name, node) in &dir.children {
            let path = format!("{path}/{}", name.as_bytes().escape_ascii());
            let which = match node {
                TreeNode::Dir(below) => Which::Node(self.depth_first(below, me, &path)?),
                TreeNode::Leaf(file) => self.leaf(file, &path)?,
            };
            names.push((Cow::Borrowed(name.as_bytes()), which));
        }
        self.dirs.push((me, names));
        Ok(me)
    }

    fn push(&mut self, node: Node<'t>) -> Which {
        self.nodes.push(node);
        Which::Node(self.nodes.len() - 1)
    }

    /// A leaf of a directory that is gone through breadth first. A file with several names gets its inode where
    /// it has its first name depth first, which may still come.
    fn leaf_in(
        &mut self,
        dir: &'t ImageTree,
        file: &'t File,
        dir_node: usize,
        path: &str,
    ) -> Result<Which, ImageError> {
        if let File::Linked(linked) = file
            && !self.links.is_at_home(identity(linked), dir)
        {
            return Ok(Which::Link(identity(linked)));
        }
        let which = self.leaf(file, path)?;
        if matches!(file, File::Special(_, Special::Character(0)))
            && let Which::Node(node) = which
        {
            self.show_whiteout(node, dir_node);
        }
        Ok(which)
    }

    fn leaf(&mut self, file: &'t File, path: &str) -> Result<Which, ImageError> {
        let File::Linked(linked) = file else {
            let node = self.file(file, path)?;
            return Ok(self.push(node));
        };
        let identity = identity(linked);
        if let Some(node) = self.links.node(identity) {
            return Ok(Which::Node(node));
        }
        self.links.set_node(identity, self.nodes.len());
        let node = self.file(linked, path)?;
        let names = self.links.names(identity);
        Ok(self.push(Node { names, ..node }))
    }

    /// overlayfs would take a whiteout for its own: it becomes an empty file with the attributes that make a
    /// whiteout of it in the mounted root.
    fn show_whiteout(&mut self, node: usize, dir: usize) {
        let whiteout = &mut self.nodes[node];
        whiteout.kind = REGULAR;
        whiteout.body = Body::Nothing;
        xattrs::insert(
            &mut whiteout.xattrs,
            b"trusted.overlay.overlay.whiteout",
            b"",
        );
        xattrs::insert(&mut whiteout.xattrs, b"user.overlay.whiteout", b"");
        let marks = &mut self.nodes[dir].xattrs;
        xattrs::insert(marks, b"trusted.overlay.overlay.whiteouts", b"");
        xattrs::insert(marks, b"user.overlay.whiteouts", b"");
        if self.version == Version::V1 {
            xattrs::insert(marks, b"trusted.overlay.overlay.opaque", b"x");
            xattrs::insert(marks, b"user.overlay.opaque", b"x");
        }
    }

    fn directory(&self, attributes: &'t Attributes, path: &str) -> Result<Node<'t>, ImageError> {
        self.node(DIRECTORY, attributes, Body::Dir(Vec::new()), path)
    }

    fn file(&self, file: &'t File, path: &str) -> Result<Node<'t>, ImageError> {
        match file {
            File::Empty(attributes) => self.node(REGULAR, attributes, Body::Nothing, path),
            File::Inline(attributes, content) => {
                self.node(REGULAR, attributes, Body::Bytes(content), path)
            }
            File::Symlink(attributes, target) => {
                if target.is_empty() || target.len() > super::layout::BLOCK {
                    return Err(ImageError::Symlink {
                        path: path.to_owned(),
                        length: target.len(),
                    });
                }
                self.node(SYMLINK, attributes, Body::Bytes(target), path)
            }
            File::Special(attributes, special) => {
                let (kind, body) = match special {
                    Special::Character(number) => (CHARACTER_DEVICE, Body::Device(*number)),
                    Special::Block(number) => (BLOCK_DEVICE, Body::Device(*number)),
                    Special::Fifo => (FIFO, Body::Nothing),
                    Special::Socket => (SOCKET, Body::Nothing),
                };
                self.node(kind, attributes, body, path)
            }
            File::External {
                attributes,
                size,
                object,
                digest,
            } => {
                let mut node = self.node(REGULAR, attributes, Body::External(*size), path)?;
                let demand = digest.map_or_else(Vec::new, |digest| metacopy(&digest));
                let object = format!("/{object}").into_bytes();
                xattrs::redirect(&mut node.xattrs, demand, object, self.version);
                Ok(node)
            }
            File::Linked(file) => self.file(file, path),
        }
    }

    fn node(
        &self,
        kind: Kind,
        attributes: &'t Attributes,
        body: Body<'t>,
        path: &str,
    ) -> Result<Node<'t>, ImageError> {
        let xattrs = xattrs::escaped(&attributes.xattrs, self.version);
        xattrs::check(&xattrs).map_err(|reason| ImageError::Attributes {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Node {
            kind,
            permissions: attributes.permissions & 0o7777,
            uid: attributes.uid,
            gid: attributes.gid,
            mtime: attributes.mtime,
            names: 1,
            xattrs,
            body,
        })
    }

    fn finish(mut self) -> Vec<Node<'t>> {
        for (dir, names) in std::mem::take(&mut self.dirs) {
            let entry = |(name, which)| {
                let node = match which {
                    Which::Node(node) => node,
                    Which::Link(link) => self.links.node(link).unwrap_or_default(),
                };
                let kind = self.nodes[node].kind;
                Entry { name, node, kind }
            };
            let mut entries: Vec<_> = names.into_iter().map(entry).collect();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            self.nodes[dir].body = Body::Dir(entries);
        }
        self.nodes
    }
}

fn own_names<'t>(me: usize, parent: usize) -> Vec<Named<'t>> {
    vec![
        (Cow::Borrowed(b"."), Which::Node(me)),
        (Cow::Borrowed(b".."), Which::Node(parent)),
    ]
}

enum Child<'t> {
    Dir(&'t Dir<Attributes, File>),
    Leaf(&'t File),
    /// A whiteout over a directory of objects.
    Cover,
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
        all.extend(free.map(|name| (Cow::Owned(name), Child::Cover)));
        all.sort_by(|a, b| a.0.cmp(&b.0));
    }
    all
}

/// It belongs to the root's owner, is as old, and has its SELinux label.
fn cover(root: &Attributes) -> Node<'_> {
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
        mtime: root.mtime,
        names: 1,
        xattrs: label.collect(),
        body: Body::Nothing,
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
