//! Ordinary layers: from a tree with whiteouts back to an archive.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;

use ostree::{ReadError, Repo, Tree};
use ostree_format::{Checksum, DirMeta, ObjectKind, ObjectName, Xattrs, mode};
use progress::Interrupt;
use tree::Node;

use super::ExportError;
use super::content::copy_content;
use super::objects::{join, member_of, shown};
use super::tar::{Member, TarWriter};
use crate::DeferredLink;

/// Write a layer of a file tree. Importing it again gives the same tree, labels included, and the same
/// links.
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
        verbatim: None,
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

/// How a tree is exported.
#[derive(Debug, Clone, Copy, Default)]
pub struct TreeExport<'a> {
    /// In front of every path, for example `root/`.
    pub prefix: &'a str,
    /// Leave extended attributes out.
    pub skip_xattrs: bool,
    /// The time of every entry, in seconds since 1970.
    pub time: u64,
}

/// Write a tree as a tar archive with every path as it is, as `ostree export` does.
///
/// # Errors
/// [`ExportError`]; what was written so far is no archive.
pub fn export_tree(
    repo: &Repo,
    tree: &Tree,
    options: TreeExport<'_>,
    out: impl Write,
    interrupt: &Interrupt,
) -> Result<(), ExportError> {
    let mut layer = TreeLayer {
        repo,
        tar: TarWriter::new(out).with_time(options.time),
        interrupt,
        first: HashMap::new(),
        buffer: vec![0; 128 * 1024],
        verbatim: Some(options),
    };
    let root = if options.prefix.is_empty() { "./" } else { "" };
    layer.dir(root, &repo.load_dirmeta(&tree.meta)?)?;
    layer.children("", tree)?;
    Ok(layer.tar.finish()?)
}

struct TreeLayer<'a, W> {
    repo: &'a Repo,
    /// Paths as they are, not as in an image.
    verbatim: Option<TreeExport<'a>>,
    tar: TarWriter<W>,
    interrupt: &'a Interrupt,
    /// Where an object is in the archive: the same file elsewhere is a hard link to it.
    first: HashMap<Checksum, String>,
    buffer: Vec<u8>,
}

impl<W: Write> TreeLayer<'_, W> {
    fn dir(&mut self, path: &str, meta: &DirMeta) -> Result<(), ExportError> {
        self.xattrs(&meta.xattrs)?;
        let member = Member::dir(meta.mode & !mode::S_IFMT, meta.uid, meta.gid);
        let mut path = self.place(path).into_owned();
        if self.verbatim.is_some() && !path.ends_with('/') {
            path.push('/');
        }
        Ok(self.tar.header(&path, &member)?)
    }

    fn xattrs(&mut self, xattrs: &Xattrs) -> Result<(), ExportError> {
        if self.verbatim.is_some_and(|options| options.skip_xattrs) {
            return Ok(());
        }
        let written = match self.verbatim {
            // Only the layer says which labels it came with, unless a policy says it again.
            None => self.tar.all_xattrs(xattrs),
            Some(_) => self.tar.xattrs(xattrs),
        };
        Ok(written?)
    }

    /// Where a path of the tree is in the archive.
    fn place<'p>(&self, path: &'p str) -> Cow<'p, str> {
        match self.verbatim {
            Some(options) => format!("{}{path}", options.prefix).into(),
            None => shown(path).into(),
        }
    }

    fn children(&mut self, path: &str, dir: &Tree) -> Result<(), ExportError> {
        self.interrupt.check()?;
        for (name, node) in &dir.children {
            let child = join(path, &String::from_utf8_lossy(name.as_bytes()));
            match node {
                Node::Dir(below) => {
                    let meta = self.repo.load_dirmeta(&below.meta)?;
                    self.dir(&child, &meta)?;
                    self.children(&child, below)?;
                }
                Node::Leaf(object) => self.leaf(&child, object)?,
            }
        }
        Ok(())
    }

    fn leaf(&mut self, path: &str, object: &Checksum) -> Result<(), ExportError> {
        let path = &*self.place(path);
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
        self.xattrs(&header.xattrs)?;
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
