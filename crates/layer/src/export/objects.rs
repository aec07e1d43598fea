//! Layers of an encapsulated commit: objects in the layout of a repository of mode bare-split-xattrs,
//! and hard links that make the same files appear where they are in the tree.
//!
//! Source: ostree-ext's documentation of its tar format ("Export format v1") and images it made; the
//! entries are the same as theirs, one by one, but for [`LayerOptions::entry_xattrs`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;

use ostree_format::{Checksum, DirMeta, FileHeader, ObjectKind, ObjectName, Xattrs, mode};
use progress::Interrupt;

use super::ExportError;
use super::content::copy_content;
use super::source::{ObjectSource, bytes};
use super::tar::{Kind, Member, TarWriter};
use crate::REPO_PREFIX;

/// Directories of the repository in every layer, behind those for objects.
const REPO_DIRS: [&str; 8] = [
    "extensions",
    "refs",
    "refs/heads",
    "refs/mirrors",
    "refs/remotes",
    "state",
    "tmp",
    "tmp/cache",
];

const REPO_CONFIG: &[u8] = b"[core]\nrepo_version=1\nmode=bare-split-xattrs\n";

/// After so many links to one file of attributes they are written once more: file systems have a limit
/// (ext4: 65000), which an engine that unpacks the layer would hit.
const MAX_LINKS: u32 = 60_000;

/// A content object of a layer, and where its file is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// Bytes of content.
    pub size: u64,
    /// Paths in the tree, without leading slash, in the order of the tree.
    pub paths: Vec<String>,
}

/// Content objects of a layer.
pub type Content = BTreeMap<Checksum, Placed>;

/// Choices about layers of an encapsulated commit.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct LayerOptions {
    /// Extended attributes also as those of the archive's entries, for engines that run the image as a
    /// container. OSTree does not look at them.
    pub entry_xattrs: bool,
}

impl Default for LayerOptions {
    fn default() -> Self {
        Self { entry_xattrs: true }
    }
}

/// Write a layer that holds nothing but content.
///
/// # Errors
/// [`ExportError`]; what was written so far is no archive.
pub fn write_chunk(
    source: &dyn ObjectSource,
    content: &Content,
    options: LayerOptions,
    out: impl Write,
    interrupt: &Interrupt,
) -> Result<(), ExportError> {
    let mut layer = ObjectLayer::new(source, options, out, interrupt);
    layer.repo_structure()?;
    layer.content(content)?;
    Ok(layer.tar.finish()?)
}

/// Write the first layer: the commit, its metadata and directories, and the content that no other layer
/// has.
///
/// # Errors
/// [`ExportError`]; what was written so far is no archive.
pub fn write_commit(
    source: &dyn ObjectSource,
    commit: &Checksum,
    content: &Content,
    options: LayerOptions,
    out: impl Write,
    interrupt: &Interrupt,
) -> Result<(), ExportError> {
    let mut layer = ObjectLayer::new(source, options, out, interrupt);
    let parsed = source.commit(commit)?;
    layer.dir("./", &source.dirmeta(&parsed.meta)?)?;
    layer.repo_structure()?;
    layer.metadata(&ObjectName::new(*commit, ObjectKind::Commit))?;
    let detached = ObjectName::new(*commit, ObjectKind::CommitMeta);
    if let Some(bytes) = source.bytes(&detached)? {
        layer.tar.file(&object_path(&detached), &bytes)?;
    }
    layer.metadata(&ObjectName::new(parsed.meta, ObjectKind::DirMeta))?;
    layer.directories("", &parsed.contents)?;
    if !layer.has_var_tmp {
        layer.tar.header("var/tmp", &Member::dir(0o1777, 0, 0))?;
    }
    layer.content(content)?;
    Ok(layer.tar.finish()?)
}

struct ObjectLayer<'a, W> {
    source: &'a dyn ObjectSource,
    options: LayerOptions,
    tar: TarWriter<W>,
    interrupt: &'a Interrupt,
    /// Metadata objects that are in the layer.
    written: HashSet<ObjectName>,
    /// Attributes that are in the layer, with the number of links to them.
    xattrs: HashMap<Checksum, u32>,
    has_var_tmp: bool,
    buffer: Vec<u8>,
}

impl<'a, W: Write> ObjectLayer<'a, W> {
    fn new(
        source: &'a dyn ObjectSource,
        options: LayerOptions,
        out: W,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            source,
            options,
            tar: TarWriter::new(out),
            interrupt,
            written: HashSet::new(),
            xattrs: HashMap::new(),
            has_var_tmp: false,
            buffer: vec![0; 128 * 1024],
        }
    }

    fn repo_structure(&mut self) -> Result<(), ExportError> {
        let dir = Member::dir(0o755, 0, 0);
        for (at, _) in REPO_PREFIX.match_indices('/') {
            self.tar.header(&REPO_PREFIX[..at], &dir)?;
        }
        self.tar.header(REPO_PREFIX, &dir)?;
        self.tar.header(&format!("{REPO_PREFIX}/objects"), &dir)?;
        for head in 0..=255 {
            let path = format!("{REPO_PREFIX}/objects/{head:02x}");
            self.tar.header(&path, &dir)?;
        }
        for name in REPO_DIRS {
            self.tar.header(&format!("{REPO_PREFIX}/{name}"), &dir)?;
        }
        let config = format!("{REPO_PREFIX}/config");
        Ok(self.tar.file(&config, REPO_CONFIG)?)
    }

    fn dir(&mut self, path: &str, meta: &DirMeta) -> Result<(), ExportError> {
        let member = Member::dir(meta.mode & !mode::S_IFMT, meta.uid, meta.gid);
        Ok(self.tar.header(path, &member)?)
    }

    /// A metadata object, unless it is there already.
    fn metadata(&mut self, name: &ObjectName) -> Result<(), ExportError> {
        if !self.written.insert(*name) {
            return Ok(());
        }
        let bytes = bytes(self.source, name)?;
        let actual = Checksum::of(&bytes);
        if actual != name.checksum {
            let name = *name;
            return Err(ExportError::Damaged { name, actual });
        }
        Ok(self.tar.file(&object_path(name), &bytes)?)
    }

    /// The directories of a tree, each with its objects, from the one at `path` (empty: the root).
    fn directories(&mut self, path: &str, contents: &Checksum) -> Result<(), ExportError> {
        self.interrupt.check()?;
        self.metadata(&ObjectName::new(*contents, ObjectKind::DirTree))?;
        self.has_var_tmp |= path == "var/tmp";
        for dir in self.source.dirtree(contents)?.dirs {
            self.metadata(&ObjectName::new(dir.meta, ObjectKind::DirMeta))?;
            let child = join(path, &dir.name);
            // What leads to the repository is there already; only its objects are missing.
            let leads_there = REPO_PREFIX.strip_prefix(child.as_str());
            if !leads_there.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
                let meta = self.source.dirmeta(&dir.meta)?;
                self.dir(shown(&child), &meta)?;
            }
            self.directories(&child, &dir.contents)?;
        }
        Ok(())
    }

    fn content(&mut self, content: &Content) -> Result<(), ExportError> {
        for (checksum, placed) in content {
            self.interrupt.check()?;
            self.object(checksum, placed)?;
        }
        Ok(())
    }

    /// A content object, its attributes before it, its files behind it.
    fn object(&mut self, checksum: &Checksum, placed: &Placed) -> Result<(), ExportError> {
        let name = ObjectName::new(*checksum, ObjectKind::File);
        let file = self.source.file(checksum)?;
        let path = object_path(&name);
        let header = file.header.clone();
        self.object_xattrs(checksum, &header.xattrs)?;
        let member = member_of(&header, file.size);
        self.tar.header(&path, &member)?;
        copy_content(&mut self.tar, &name, file, &mut self.buffer)?;
        let empty = !header.is_symlink() && member.size == 0;
        for place in &placed.paths {
            // An engine that opens an empty file for writing must not write into the object.
            let linked = if empty {
                member
            } else {
                member.linked_to(&path)
            };
            self.tar.header(shown(place), &linked)?;
        }
        Ok(())
    }

    fn object_xattrs(&mut self, file: &Checksum, xattrs: &Xattrs) -> Result<(), ExportError> {
        let bytes = xattrs.to_bytes();
        let stored = Checksum::of(&bytes);
        let target = object_path(&ObjectName::new(stored, ObjectKind::FileXattrs));
        let links = self.xattrs.entry(stored).or_default();
        if links.is_multiple_of(MAX_LINKS) {
            self.tar.file(&target, &bytes)?;
        }
        *links += 1;
        let link = object_path(&ObjectName::new(*file, ObjectKind::FileXattrsLink));
        self.tar
            .header(&link, &Member::plain(0).linked_to(&target))?;
        if self.options.entry_xattrs {
            self.tar.xattrs(xattrs)?;
        }
        Ok(())
    }
}

/// The entry for a content object of `size` bytes.
pub(super) fn member_of(header: &FileHeader, size: u64) -> Member<'_> {
    Member {
        kind: match header.symlink {
            Some(_) => Kind::Symlink,
            None => Kind::Regular,
        },
        mode: header.mode & !mode::S_IFMT,
        uid: header.uid,
        gid: header.gid,
        size,
        link: header.symlink.as_deref().unwrap_or_default(),
    }
}

fn object_path(name: &ObjectName) -> String {
    let mode = ostree_format::RepoMode::BareSplitXattrs;
    format!("{REPO_PREFIX}/objects/{}", name.loose_path(mode))
}

pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}/{name}")
    }
}

/// Where a path of the tree is in the image: `/usr/etc` is `/etc` there.
pub(super) fn shown(path: &str) -> &str {
    match path.strip_prefix("usr/") {
        Some(rest) if rest == "etc" || rest.starts_with("etc/") => rest,
        _ => path,
    }
}
