//! A tree of a commit, written again with other owners, modes, attributes or labels.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use ostree_format::Checksum;
use tree::{Dir, Node};

use super::options::Ownership;
use super::{CommitDirError, Shared, shown};
use crate::{ReadError, Tree, WriteError};

/// Content is read in pieces of this size.
const PIECE: usize = 256 * 1024;

impl Shared<'_, '_> {
    pub(super) fn again(&self, tree: Tree, path: &Path) -> Result<Tree, CommitDirError> {
        self.interrupt.check()?;
        let mut result = Dir::new(self.dirmeta_again(&tree.meta, path)?);
        for (name, node) in tree.children {
            let child = Path::new("/")
                .join(path)
                .join(name.to_str().unwrap_or_default());
            if self.options.skip.contains(&child) {
                self.lock(&self.applied).skips.insert(child);
                continue;
            }
            let node = match node {
                Node::Dir(dir) => Node::Dir(self.again(dir, &child)?),
                Node::Leaf(checksum) => Node::Leaf(self.file_again(checksum, &child)?),
            };
            result.children.insert(name, node);
        }
        Ok(result)
    }

    fn dirmeta_again(&self, checksum: &Checksum, path: &Path) -> Result<Checksum, CommitDirError> {
        let path = shown(path);
        let found = self.txn.repo.load_dirmeta(checksum);
        let found = found.map_err(|source| unreadable(*checksum, source))?;
        let (uid, gid, mode) = (found.uid, found.gid, found.mode);
        let stored = self.stored(path, Ownership { uid, gid, mode });
        let xattrs = self.xattrs(path, stored.mode, || Ok(found.xattrs.clone()))?;
        let written = self.txn.write_dirmeta(&stored.dirmeta(xattrs));
        written.map_err(|source| unwritten(path, source))
    }

    fn file_again(&self, checksum: Checksum, path: &Path) -> Result<Checksum, CommitDirError> {
        let object = self.txn.repo.open_file(&checksum);
        let object = object.map_err(|source| unreadable(checksum, source))?;
        let found = &object.header;
        let (uid, gid, mode) = (found.uid, found.gid, found.mode);
        let stored = self.stored(path, Ownership { uid, gid, mode });
        let xattrs = self.xattrs(path, stored.mode, || Ok(found.xattrs.clone()))?;
        let header = stored.header(xattrs, found.symlink.clone());
        if header == *found {
            return Ok(checksum);
        }
        if header.is_symlink() {
            let written = self.txn.write_file(&header, &[]);
            return written.map_err(|source| unwritten(path, source));
        }
        let mut content = object.content;
        let write = || -> Result<Checksum, WriteError> {
            let mut writer = self.txn.content_writer(header, object.size)?;
            let mut buffer = vec![0; PIECE];
            loop {
                match content.read(&mut buffer) {
                    Ok(0) => return writer.finish(),
                    Ok(count) => writer.write_piece(&buffer[..count])?,
                    Err(source) => return Err(unread(path, source).into()),
                }
            }
        };
        write().map_err(|source| unwritten(path, source))
    }
}

fn unread(path: &Path, source: std::io::Error) -> durable::Error {
    durable::Error {
        verb: "read the content of",
        path: path.to_owned(),
        source,
    }
}

fn unreadable(object: Checksum, source: ReadError) -> CommitDirError {
    let source = Box::new(source);
    CommitDirError::Linked { object, source }
}

fn unwritten(path: &Path, source: WriteError) -> CommitDirError {
    let (path, source) = (PathBuf::from(path), Box::new(source));
    CommitDirError::Write { path, source }
}
