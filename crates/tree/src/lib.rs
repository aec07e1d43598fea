//! A file tree in memory: overlay with whiteouts.
//!
//! Directories carry metadata of type `D`, everything else is a leaf of type `L`; what those are is
//! the caller's affair (an OSTree merge uses checksums for both).

mod name;
mod overlay;

use std::collections::BTreeMap;

pub use name::{InvalidName, Name};

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dir<D, L> {
    /// Its own metadata.
    pub meta: D,
    /// What is in it, ordered by the bytes of the names.
    pub children: BTreeMap<Name, Node<D, L>>,
}

/// What a name in a directory stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<D, L> {
    /// A subdirectory.
    Dir(Dir<D, L>),
    /// Anything else.
    Leaf(L),
}

impl<D, L> Node<D, L> {
    /// The directory, if it is one.
    #[must_use]
    pub const fn as_dir(&self) -> Option<&Dir<D, L>> {
        match self {
            Self::Dir(dir) => Some(dir),
            Self::Leaf(_) => None,
        }
    }

    /// The leaf, if it is one.
    #[must_use]
    pub const fn as_leaf(&self) -> Option<&L> {
        match self {
            Self::Dir(_) => None,
            Self::Leaf(leaf) => Some(leaf),
        }
    }
}

impl<D, L> Dir<D, L> {
    /// An empty directory.
    #[must_use]
    pub const fn new(meta: D) -> Self {
        Self {
            meta,
            children: BTreeMap::new(),
        }
    }

    /// What stands at `path`, one name per component; `None` when a component is missing or no directory.
    pub fn get<'a>(&self, path: impl IntoIterator<Item = &'a [u8]>) -> Option<&Node<D, L>> {
        let mut path = path.into_iter().peekable();
        let mut dir = self;
        while let Some(component) = path.next() {
            let node = dir.children.get(component)?;
            if path.peek().is_none() {
                return Some(node);
            }
            dir = node.as_dir()?;
        }
        None
    }

    /// The directory at `path`, for changing it.
    pub fn dir_mut<'a>(&mut self, path: impl IntoIterator<Item = &'a [u8]>) -> Option<&mut Self> {
        let mut dir = self;
        for component in path {
            match dir.children.get_mut(component)? {
                Node::Dir(next) => dir = next,
                Node::Leaf(_) => return None,
            }
        }
        Some(dir)
    }

    /// How many leaves there are in the whole tree.
    #[must_use]
    pub fn leaf_count(&self) -> usize {
        let below = |node: &Node<D, L>| match node {
            Node::Dir(dir) => dir.leaf_count(),
            Node::Leaf(_) => 1,
        };
        self.children.values().map(below).sum()
    }

    /// Call `visit` with the path and each leaf of the whole tree, in order.
    ///
    /// # Errors
    /// The first error of `visit`; what comes after it is not visited.
    pub fn try_for_each_leaf<E>(
        &self,
        visit: &mut impl FnMut(&[u8], &L) -> Result<(), E>,
    ) -> Result<(), E> {
        self.visit_leaves(&mut Vec::new(), visit)
    }

    fn visit_leaves<E>(
        &self,
        path: &mut Vec<u8>,
        visit: &mut impl FnMut(&[u8], &L) -> Result<(), E>,
    ) -> Result<(), E> {
        for (name, node) in &self.children {
            let length = path.len();
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            match node {
                Node::Dir(dir) => dir.visit_leaves(path, visit)?,
                Node::Leaf(leaf) => visit(path, leaf)?,
            }
            path.truncate(length);
        }
        Ok(())
    }
}
