//! Reading an image: what [`super::image`], `mkcomposefs` and composefs-rs write. Nothing of it is trusted.

mod inode;
mod source;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use error_class::{Classified, ErrorClass};
use tree::{Dir, Name, Node as TreeNode};

use super::xattrs::OVERLAY;
use super::{Attributes, File, ImageTree, Special, Version};
use crate::Digest;

use inode::Inode;
use source::Source;

/// Directories below each other: the kernel takes no path of more than 4096 bytes.
const DEEPEST: usize = 2048;

/// Bytes of all attributes together, those that inodes share counted for each of them.
const MOST_ATTRIBUTES: usize = 512 * 1024 * 1024;

/// Why bytes are no image of composefs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadImageError {
    /// It is something else.
    #[error("this is no image of composefs: {0}")]
    Foreign(&'static str),
    /// What stands at a byte cannot be.
    #[error("the image is damaged at byte {at}: {reason}")]
    Damaged {
        /// The byte, as far as it can be told.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Classified for ReadImageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Foreign(_) => ErrorClass::InvalidInput,
            Self::Damaged { .. } => ErrorClass::Corrupt,
        }
    }
}

/// What an image holds. Making an image of it again gives the same bytes, if a writer of composefs made them.
///
/// # Errors
/// [`ReadImageError`].
pub fn read_image(bytes: &[u8]) -> Result<(ImageTree, Version), ReadImageError> {
    let source = Source::new(bytes)?;
    let version = source.version;
    let mut reader = Reader::new(source);
    let root = reader.source.root;
    let tree = reader.directory(root, root, 0)?;
    Ok((tree, version))
}

/// The objects that the files of an image have their content in, by path below the directory of objects, with
/// the digests that the image demands of them.
///
/// # Errors
/// [`ReadImageError`].
pub fn image_objects(bytes: &[u8]) -> Result<BTreeMap<String, Option<Digest>>, ReadImageError> {
    let (tree, _) = read_image(bytes)?;
    let mut objects = BTreeMap::new();
    let visited = tree.try_for_each_leaf(&mut |_, file: &File| -> Result<(), ReadImageError> {
        let file = match file {
            File::Linked(file) => file,
            file => file,
        };
        if let File::External { object, digest, .. } = file {
            objects.insert(object.clone(), *digest);
        }
        Ok(())
    });
    visited.map(|()| objects)
}

struct Reader<'b> {
    source: Source<'b>,
    /// Directories that were read; each has one place.
    dirs: HashSet<u64>,
    /// Files with several names.
    links: HashMap<u64, Arc<File>>,
    /// Names that may still come: no image has more than fit into it.
    names_left: usize,
    attributes_left: usize,
    content_left: usize,
}

impl<'b> Reader<'b> {
    fn new(source: Source<'b>) -> Self {
        Self {
            names_left: source.bytes.len() / 12,
            attributes_left: MOST_ATTRIBUTES,
            content_left: source.bytes.len(),
            source,
            dirs: HashSet::new(),
            links: HashMap::new(),
        }
    }

    fn directory(
        &mut self,
        number: u64,
        parent: u64,
        depth: usize,
    ) -> Result<ImageTree, ReadImageError> {
        let inode = self.inode(number)?;
        let damaged = |reason| Err(inode.damaged(reason));
        if !inode.is_directory() {
            return damaged("a directory was to be here");
        }
        if depth > DEEPEST || !self.dirs.insert(number) {
            return damaged("directories are in each other without end");
        }
        let mut dir = Dir::new(self.attributes(&inode, depth == 0)?);
        for (name, target) in inode.entries(&self.source)? {
            self.names_left = match self.names_left.checked_sub(1) {
                Some(left) => left,
                None => return damaged("there are more names than fit into the image"),
            };
            match name {
                b"." if target == number => continue,
                b".." if target == parent => continue,
                _ => {}
            }
            let Ok(name) = Name::new(name) else {
                return damaged("a directory has an entry with a name that cannot be");
            };
            let child = self.inode(target)?;
            if depth == 0 && self.source.version != Version::V2 && is_cover(&name, &child) {
                continue;
            }
            let node = if child.is_directory() {
                TreeNode::Dir(self.directory(target, number, depth + 1)?)
            } else {
                TreeNode::Leaf(self.leaf(target, &child)?)
            };
            if dir.children.insert(name, node).is_some() {
                return damaged("a directory has the same name twice");
            }
        }
        Ok(dir)
    }

    fn inode(&self, number: u64) -> Result<Inode, ReadImageError> {
        Inode::read(&self.source, number)
    }

    fn leaf(&mut self, number: u64, inode: &Inode) -> Result<File, ReadImageError> {
        if inode.links <= 1 {
            return self.file(inode);
        }
        if let Some(file) = self.links.get(&number) {
            return Ok(File::Linked(Arc::clone(file)));
        }
        let file = Arc::new(self.file(inode)?);
        self.links.insert(number, Arc::clone(&file));
        Ok(File::Linked(file))
    }

    fn file(&mut self, inode: &Inode) -> Result<File, ReadImageError> {
        let mut attributes = self.attributes(inode, false)?;
        let special = match inode.type_bits() {
            0o020_000 => Some(Special::Character(inode.address)),
            0o060_000 => Some(Special::Block(inode.address)),
            0o010_000 => Some(Special::Fifo),
            0o140_000 => Some(Special::Socket),
            _ => None,
        };
        if let Some(special) = special {
            unescape(&mut attributes);
            return Ok(File::Special(attributes, special));
        }
        let redirect = take(&mut attributes, b"trusted.overlay.redirect");
        let metacopy = take(&mut attributes, b"trusted.overlay.metacopy");
        unescape(&mut attributes);
        match inode.type_bits() {
            0o120_000 => {
                let target = self.content(inode)?;
                Ok(File::Symlink(attributes, target))
            }
            0o100_000 if inode.is_chunked() => {
                let object = redirect
                    .as_deref()
                    .and_then(|path| std::str::from_utf8(path.strip_prefix(b"/")?).ok());
                let object = object.filter(|path| is_plain(path));
                let object = object
                    .ok_or_else(|| inode.damaged("a file says nowhere where its content is"))?;
                let digest = demanded(&metacopy.unwrap_or_default());
                Ok(File::External {
                    attributes,
                    size: inode.size,
                    object: object.to_owned(),
                    digest: digest.ok_or_else(|| inode.damaged("a digest of content is broken"))?,
                })
            }
            0o100_000 if inode.size == 0 && is_whiteout(&mut attributes, self.source.version) => {
                Ok(File::Special(attributes, Special::Character(0)))
            }
            0o100_000 if inode.size == 0 => Ok(File::Empty(attributes)),
            0o100_000 => {
                let content = self.content(inode)?;
                Ok(File::Inline(attributes, content))
            }
            _ => Err(inode.damaged("an inode is of no known type")),
        }
    }

    fn content(&mut self, inode: &Inode) -> Result<Vec<u8>, ReadImageError> {
        let content = inode.content(&self.source)?;
        self.content_left = self
            .content_left
            .checked_sub(content.len())
            .ok_or_else(|| inode.damaged("there is more content than fits into the image"))?;
        Ok(content)
    }

    /// Of a directory, those of the tree only.
    fn attributes(&mut self, inode: &Inode, is_root: bool) -> Result<Attributes, ReadImageError> {
        let xattrs = inode.xattrs(&self.source)?;
        let bytes: usize = xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.attributes_left = self
            .attributes_left
            .checked_sub(bytes)
            .ok_or_else(|| inode.damaged("there are too many extended attributes"))?;
        let mut attributes = Attributes {
            uid: inode.uid,
            gid: inode.gid,
            permissions: u32::from(inode.mode) & 0o7777,
            mtime: inode.mtime,
            xattrs,
        };
        if inode.is_directory() {
            if self.source.version != Version::V2 {
                if is_root {
                    take(&mut attributes, b"trusted.overlay.opaque");
                }
                drop_marks(&mut attributes, self.source.version);
            }
            unescape(&mut attributes);
        }
        Ok(attributes)
    }
}

/// Whether it covers a directory of objects, and is nothing of the tree.
fn is_cover(name: &Name, inode: &Inode) -> bool {
    let name = name.as_bytes();
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    inode.type_bits() == 0o020_000
        && inode.address == 0
        && name.len() == 2
        && name.iter().all(is_hex)
}

fn take(attributes: &mut Attributes, name: &[u8]) -> Option<Vec<u8>> {
    let at = attributes
        .xattrs
        .iter()
        .position(|(have, _)| have == name)?;
    Some(attributes.xattrs.remove(at).1)
}

/// Whether the attributes are those of a whiteout of the tree, which they lose.
fn is_whiteout(attributes: &mut Attributes, version: Version) -> bool {
    let marks: [&[u8]; 2] = [b"trusted.overlay.whiteout", b"user.overlay.whiteout"];
    let has = |name: &[u8]| attributes.xattrs.iter().any(|(have, _)| have == name);
    let found = version != Version::V2 && marks.iter().all(|name| has(name));
    if found {
        marks.iter().for_each(|name| drop(take(attributes, name)));
    }
    found
}

/// What a directory with whiteouts of the tree has besides its own attributes.
fn drop_marks(attributes: &mut Attributes, version: Version) {
    let whiteouts: &[u8] = b"trusted.overlay.overlay.whiteouts";
    if take(attributes, whiteouts).is_none() {
        return;
    }
    take(attributes, b"user.overlay.whiteouts");
    if version == Version::V1 {
        // With another value, it is the tree's own.
        let opaque: [&[u8]; 2] = [b"trusted.overlay.overlay.opaque", b"user.overlay.opaque"];
        let is_mark =
            |(name, value): &(Vec<u8>, Vec<u8>)| value == b"x" && opaque.contains(&name.as_slice());
        attributes.xattrs.retain(|xattr| !is_mark(xattr));
    }
}

/// Gives names that overlayfs would take for its own back to the tree, and puts all in order.
fn unescape(attributes: &mut Attributes) {
    for (name, _) in &mut attributes.xattrs {
        let rest = name
            .strip_prefix(OVERLAY)
            .and_then(|rest| rest.strip_prefix(b"overlay."));
        if let Some(rest) = rest {
            *name = [OVERLAY, rest].concat();
        }
    }
    attributes.xattrs.sort();
}

/// Whether a path stays below where it starts.
fn is_plain(path: &str) -> bool {
    path.split('/')
        .all(|part| Name::new(part.as_bytes()).is_ok())
}

/// The digest in the attribute of overlayfs, if one is demanded; `None` when it cannot be read.
fn demanded(value: &[u8]) -> Option<Option<Digest>> {
    let Some((head, digest)) = value.split_at_checked(4) else {
        return value.is_empty().then_some(None);
    };
    let known = head[0] == 0 && usize::from(head[1]) == value.len() && head[2] == 0;
    if known && digest.is_empty() {
        return Some(None);
    }
    let digest = Digest::try_from(digest).ok()?;
    (known && digest.algorithm().number() == head[3]).then_some(Some(digest))
}
