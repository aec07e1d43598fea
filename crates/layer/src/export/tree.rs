//! Ordinary layers: from a tree with whiteouts back to an archive.

use std::collections::HashMap;
use std::io::Write;

use ostree::{ReadError, Repo, Tree};
use ostree_format::{Checksum, DirMeta, ObjectKind, ObjectName, mode};
use progress::Interrupt;
use tree::Node;

use super::ExportError;
use super::content::copy_content;
use super::objects::{join, member_of, shown};
use super::tar::{Member, TarWriter};
use crate::DeferredLink;

/// Write a layer of a file tree. Importing it again gives the same tree and the same links, but for
/// SELinux labels, which belong to the machine.
///
/// # Errors
/// [`ExportError`]; what was written so far is no archive.
pub fn write_tree(
    repo: &Repo,
    tree: &Tree,
    links: &[DeferredLink],
    out: impl Write,
    interrupt: &Interrupt,
) -> Result<(), ExportError> {
    let mut layer = TreeLayer {
        repo,
        tar: TarWriter::new(out),
        interrupt,
        first: HashMap::new(),
        buffer: vec![0; 128 * 1024],
    };
    layer.dir("./", &repo.load_dirmeta(&tree.meta)?)?;
    layer.children("", tree)?;
    for link in links {
        let target = Member::plain(0);
        let target = target.linked_to(shown(&link.target));
        layer.tar.header(shown(&link.path), &target)?;
    }
    Ok(layer.tar.finish()?)
}

struct TreeLayer<'a, W> {
    repo: &'a Repo,
    tar: TarWriter<W>,
    interrupt: &'a Interrupt,
    /// Where an object is in the archive: the same file elsewhere is a hard link to it.
    first: HashMap<Checksum, String>,
    buffer: Vec<u8>,
}

impl<W: Write> TreeLayer<'_, W> {
    fn dir(&mut self, path: &str, meta: &DirMeta) -> Result<(), ExportError> {
        self.tar.xattrs(&meta.xattrs)?;
        let member = Member::dir(meta.mode & !mode::S_IFMT, meta.uid, meta.gid);
        Ok(self.tar.header(path, &member)?)
    }

    fn children(&mut self, path: &str, dir: &Tree) -> Result<(), ExportError> {
        self.interrupt.check()?;
        for (name, node) in &dir.children {
            let child = join(path, &String::from_utf8_lossy(name.as_bytes()));
            match node {
                Node::Dir(below) => {
                    let meta = self.repo.load_dirmeta(&below.meta)?;
                    self.dir(shown(&child), &meta)?;
                    self.children(&child, below)?;
                }
                Node::Leaf(object) => self.leaf(shown(&child), object)?,
            }
        }
        Ok(())
    }

    fn leaf(&mut self, path: &str, object: &Checksum) -> Result<(), ExportError> {
        let file = self.repo.open_file(object)?;
        let header = file.header.clone();
        let member = member_of(&header, file.size);
        if file.size > 0 {
            if let Some(first) = self.first.get(object) {
                return Ok(self.tar.header(path, &member.linked_to(first))?);
            }
            self.first.insert(*object, path.to_owned());
        }
        let name = ObjectName::new(*object, ObjectKind::File);
        self.tar.xattrs(&header.xattrs)?;
        self.tar.header(path, &member)?;
        copy_content(&mut self.tar, &name, file, &mut self.buffer)
    }
}

/// The files of a layer that is a set of objects, by the names that the set gives them.
///
/// # Errors
/// [`ReadError`].
pub fn object_set(repo: &Repo, contents: &Checksum) -> Result<Vec<Checksum>, ReadError> {
    let files = repo.load_dirtree(contents)?.files;
    Ok(files.into_iter().map(|(_, object)| object).collect())
}
