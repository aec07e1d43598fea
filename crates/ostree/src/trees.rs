//! Whole trees: from dirtree objects into memory and back.

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
