//! Extended attributes: how they are named, and those that several inodes share.

use std::borrow::Cow;
use std::collections::HashMap;

use xxhash_rust::xxh32::xxh32;

use super::Version;
use super::nodes::Node;

/// Name spaces that are written as a number. `mkcomposefs` does not know that of Lustre.
pub(super) const PREFIXES: [(u8, &[u8]); 6] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (LUSTRE, b"lustre."),
    (6, b"security."),
];
const LUSTRE: u8 = 5;

/// Overlayfs takes these names for its own; a second `overlay.` makes them ordinary ones.
pub(super) const OVERLAY: &[u8] = b"trusted.overlay.";

/// So many shared attributes at most per inode.
const MOST_SHARED: usize = 0x80;

/// `struct erofs_xattr_ibody_header` and `struct erofs_xattr_entry`.
const HEADER: usize = 12;
const ENTRY: usize = 4;

/// The longest that the tables can say.
const LONGEST: usize = u16::MAX as usize * 4;

/// An attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Xattr<'t> {
    name: Cow<'t, [u8]>,
    value: Cow<'t, [u8]>,
    /// Whether the name space of Lustre has its number.
    knows_lustre: bool,
}

impl<'t> Xattr<'t> {
    pub(super) const fn new(name: &'t [u8], value: &'t [u8]) -> Self {
        Self {
            name: Cow::Borrowed(name),
            value: Cow::Borrowed(value),
            knows_lustre: false,
        }
    }

    pub(super) fn is_acl(&self) -> bool {
        matches!(self.prefix().0, 2 | 3)
    }

    /// The number of the name space and the rest of the name.
    fn prefix(&self) -> (u8, &[u8]) {
        let known = PREFIXES
            .iter()
            .filter(|(number, _)| *number != LUSTRE || self.knows_lustre)
            .find_map(|(number, prefix)| Some((*number, self.name.strip_prefix(*prefix)?)));
        known.unwrap_or((0, &self.name))
    }

    /// Bytes of the entry.
    fn size(&self) -> usize {
        (ENTRY + self.prefix().1.len() + self.value.len()).next_multiple_of(4)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (number, rest) = self.prefix();
        // Both were checked to fit.
        let name_length = u8::try_from(rest.len()).unwrap_or_default();
        let value_length = u16::try_from(self.value.len()).unwrap_or_default();
        out.extend_from_slice(&[name_length, number]);
        out.extend_from_slice(&value_length.to_le_bytes());
        out.extend_from_slice(rest);
        out.extend_from_slice(&self.value);
        out.resize(out.len().next_multiple_of(4), 0);
    }

    /// The bit that says "perhaps there" in the filter of an inode.
    fn filter_bit(&self) -> u32 {
        let (number, rest) = self.prefix();
        1 << (xxh32(rest, 0x25BB_E08F + u32::from(number)) & 31)
    }
}

/// Attributes as an inode has them: in the order of names, those of overlayfs renamed.
pub(super) fn escaped(xattrs: &[(Vec<u8>, Vec<u8>)], version: Version) -> Vec<Xattr<'_>> {
    let mut sorted: Vec<_> = xattrs.iter().collect();
    sorted.sort();
    let renamed = sorted.into_iter().map(|(name, value)| Xattr {
        name: match name.strip_prefix(OVERLAY) {
            Some(rest) => Cow::Owned([OVERLAY, b"overlay.", rest].concat()),
            None => Cow::Borrowed(name.as_slice()),
        },
        value: Cow::Borrowed(value),
        knows_lustre: version == Version::V2,
    });
    let mut xattrs: Vec<_> = renamed.collect();
    if version != Version::V2 {
        xattrs.sort();
    }
    xattrs
}

/// Adds an attribute where its name belongs, unless it is there.
pub(super) fn insert(xattrs: &mut Vec<Xattr<'_>>, name: &'static [u8], value: &[u8]) {
    let xattr = Xattr {
        name: Cow::Borrowed(name),
        value: Cow::Owned(value.to_vec()),
        knows_lustre: false,
    };
    let at = xattrs.partition_point(|other| other.name < xattr.name);
    if xattrs.get(at).is_none_or(|other| other.name != xattr.name) {
        xattrs.insert(at, xattr);
    }
}

/// Adds what makes overlayfs look for the content at `object`, with a digest or nothing in `demand`.
pub(super) fn redirect(
    xattrs: &mut Vec<Xattr<'_>>,
    demand: Vec<u8>,
    object: Vec<u8>,
    version: Version,
) {
    let (metacopy, redirect) = (b"trusted.overlay.metacopy", b"trusted.overlay.redirect");
    if version == Version::V2 {
        let xattr = |name: &'static [u8], value| Xattr {
            name: Cow::Borrowed(name),
            value: Cow::Owned(value),
            knows_lustre: true,
        };
        xattrs.splice(..0, [xattr(metacopy, demand), xattr(redirect, object)]);
    } else {
        insert(xattrs, metacopy, &demand);
        insert(xattrs, redirect, &object);
    }
}

/// Whether names, values and all together fit.
pub(super) fn check(xattrs: &[Xattr<'_>]) -> Result<(), &'static str> {
    if xattrs.iter().any(|xattr| xattr.prefix().1.len() > 255) {
        return Err("a name is longer than 255 bytes");
    }
    if xattrs
        .iter()
        .any(|xattr| xattr.value.len() > usize::from(u16::MAX))
    {
        return Err("a value is longer than 65535 bytes");
    }
    // Room for those that are added to files.
    let all: usize = xattrs.iter().map(Xattr::size).sum();
    if HEADER + all + 1024 > LONGEST {
        return Err("all together are longer than 256 KiB");
    }
    Ok(())
}

/// Attributes that more than one inode has, in the order of the table, with their offsets in it.
#[derive(Debug)]
pub(super) struct Shared<'t> {
    table: Vec<Xattr<'t>>,
    offsets: HashMap<Xattr<'t>, usize>,
    size: usize,
    version: Version,
}

pub(super) fn share<'t>(nodes: &[Node<'t>], version: Version) -> Shared<'t> {
    let mut counts: HashMap<&Xattr<'t>, u32> = HashMap::new();
    for xattr in nodes.iter().flat_map(|node| &node.xattrs) {
        *counts.entry(xattr).or_default() += 1;
    }
    let often = counts.into_iter().filter(|(_, count)| *count > 1);
    let mut table: Vec<Xattr<'t>> = often.map(|(xattr, _)| xattr.clone()).collect();
    if version == Version::V2 {
        table.sort_by(|a, b| (a.prefix(), &a.value).cmp(&(b.prefix(), &b.value)));
    } else {
        // Backwards, of equal names the longer value first.
        table.sort_by(|a, b| {
            let order =
                |xattr: &Xattr<'t>| (xattr.name.clone(), xattr.value.len(), xattr.value.clone());
            order(b).cmp(&order(a))
        });
    }
    let mut size = 0;
    let mut offsets = HashMap::new();
    for xattr in &table {
        offsets.insert(xattr.clone(), size);
        size += xattr.size();
    }
    Shared {
        table,
        offsets,
        size,
        version,
    }
}

impl Shared<'_> {
    /// Bytes of the table.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for xattr in &self.table {
            xattr.write(out);
        }
    }

    /// Bytes that the attributes of an inode take behind it.
    pub(super) fn size_of(&self, node: &Node<'_>) -> usize {
        if node.xattrs.is_empty() {
            return 0;
        }
        let (shared, own) = self.split(node);
        let own: usize = own.into_iter().map(Xattr::size).sum();
        HEADER + shared.len() * ENTRY + own
    }

    /// The same as an inode says it: words behind the header, and one for that.
    pub(super) fn words_of(&self, node: &Node<'_>) -> u16 {
        let words = match self.size_of(node) {
            0 => 0,
            size => (size - HEADER) / 4 + 1,
        };
        u16::try_from(words).unwrap_or_default()
    }

    /// Writes the attributes behind an inode; the table begins at `table`.
    pub(super) fn write_of(&self, node: &Node<'_>, table: usize, out: &mut Vec<u8>) {
        if node.xattrs.is_empty() {
            return;
        }
        let (shared, own) = self.split(node);
        let filter = node
            .xattrs
            .iter()
            .fold(0, |bits, xattr| bits | xattr.filter_bit());
        out.extend_from_slice(&(!filter).to_le_bytes());
        out.push(u8::try_from(shared.len()).unwrap_or_default());
        out.extend_from_slice(&[0; 7]);
        for offset in shared {
            let word = match self.version {
                // Counted in words from the block in which the table begins,
                Version::V0 | Version::V1 => (table % super::layout::BLOCK + offset) / 4,
                // or from the image's beginning.
                Version::V2 => (table + offset) / 4,
            };
            out.extend_from_slice(&u32::try_from(word).unwrap_or_default().to_le_bytes());
        }
        for xattr in own {
            xattr.write(out);
        }
    }

    /// Offsets of the shared attributes, and the others.
    fn split<'n, 't>(&self, node: &'n Node<'t>) -> (Vec<usize>, Vec<&'n Xattr<'t>>) {
        let (mut shared, mut own) = (Vec::new(), Vec::new());
        for xattr in &node.xattrs {
            match self.offsets.get(xattr) {
                Some(offset) if shared.len() < MOST_SHARED => shared.push(*offset),
                _ => own.push(xattr),
            }
        }
        (shared, own)
    }
}
