//! Whole trees: from dirtree objects into memory and back.

use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, DirEntry, DirTree, limits};
use tree::{Dir, Name, Node};

use crate::{ReadError, Repo, Transaction, WriteError};

/// A tree as a commit has it: directories carry their dirmeta, leaves the name of their content object.
pub type Tree = Dir<Checksum, Checksum>;

impl Repo {
    /// Read the whole tree with this root.
    ///
    /// # Errors
    /// [`ReadError`]; it names the object.
    pub fn load_tree(&self, contents: &Checksum, meta: &Checksum) -> Result<Tree, ReadError> {
        self.load_subtree(contents, meta, limits::MAX_DEPTH)
    }

    fn load_subtree(
        &self,
        contents: &Checksum,
        meta: &Checksum,
        depth: usize,
    ) -> Result<Tree, ReadError> {
        let depth = depth.checked_sub(1).ok_or(ReadError::TooDeep(*contents))?;
        let stored = self.load_dirtree(contents)?;
        let mut dir = Dir::new(*meta);
        // Names were checked when the dirtree was parsed.
        let name = |name: &str| Name::new(name.as_bytes()).ok();
        for (file, checksum) in &stored.files {
            dir.children
                .extend(name(file).map(|name| (name, Node::Leaf(*checksum))));
        }
        for entry in &stored.dirs {
            let subdir = self.load_subtree(&entry.contents, &entry.meta, depth)?;
            dir.children
                .extend(name(&entry.name).map(|name| (name, Node::Dir(subdir))));
        }
        Ok(dir)
    }
}

/// A name that is a directory in one tree and something else in the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is a directory in one tree and a file in the other")]
pub struct TreeConflict {
    /// Where, escaped.
    pub path: String,
}

impl Classified for TreeConflict {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// Lay `upper` over `lower` as `ostree commit` does with several `--tree`s: its files replace, its
/// directories are merged and have its metadata; whiteouts mean nothing.
///
/// # Errors
/// [`TreeConflict`]; `lower` is changed in part then.
pub fn merge_trees(lower: &mut Tree, upper: Tree) -> Result<(), TreeConflict> {
    merge_at(lower, upper, &mut Vec::new())
}

fn merge_at(lower: &mut Tree, upper: Tree, path: &mut Vec<u8>) -> Result<(), TreeConflict> {
    lower.meta = upper.meta;
    for (name, node) in upper.children {
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        match (lower.children.get_mut(name.as_bytes()), node) {
            (Some(Node::Dir(below)), Node::Dir(above)) => merge_at(below, above, path)?,
            (Some(Node::Leaf(below)), Node::Leaf(above)) => *below = above,
            (None, node) => drop(lower.children.insert(name, node)),
            (Some(_), _) => {
                return Err(TreeConflict {
                    path: path.escape_ascii().to_string(),
                });
            }
        }
        path.truncate(length);
    }
    Ok(())
}

impl Transaction<'_> {
    /// Write the dirtrees of a whole tree; those that are stored are not written again.
    /// Returns the root's dirtree. The dirmetas must have been written.
    ///
    /// # Errors
    /// [`WriteError::NameNotUtf8`] names the path; otherwise what the system said.
    pub fn write_tree(&self, tree: &Tree) -> Result<Checksum, WriteError> {
        self.guarded(self.write_subtree(tree, &mut Vec::new()))
    }

    fn write_subtree(&self, dir: &Tree, path: &mut Vec<u8>) -> Result<Checksum, WriteError> {
        let mut stored = DirTree::default();
        for (name, node) in &dir.children {
            let length = path.len();
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            let text = name.to_str().ok_or_else(|| WriteError::NameNotUtf8 {
                path: path.escape_ascii().to_string(),
            })?;
            match node {
                Node::Leaf(file) => stored.files.push((text.to_owned(), *file)),
                Node::Dir(subdir) => stored.dirs.push(DirEntry {
                    name: text.to_owned(),
                    contents: self.write_subtree(subdir, path)?,
                    meta: subdir.meta,
                }),
            }
            path.truncate(length);
        }
        self.write_dirtree(&stored)
    }
}
