//! Writing an image, once everything has its place.

use super::Version;
use super::layout::{BLOCK, DIRENT, Layout, Place, SLOT, SUPERBLOCK, chunks};
use super::nodes::{Body, Entry, Node, SYMLINK};
use super::xattrs::{Shared, Xattr};

/// A chunk that is nowhere (`EROFS_NULL_ADDR`).
const NOWHERE: [u8; 4] = [0xff; 4];

/// The logarithm of the size of chunks, in blocks: any file is one chunk.
const LARGEST_CHUNKS: u16 = 31;

pub(super) fn emit(
    nodes: &[Node<'_>],
    shared: &Shared<'_>,
    layout: &Layout,
    version: Version,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(layout.blocks as usize * BLOCK);
    header(nodes, version, &mut out);
    superblock(nodes, layout, version, &mut out);
    let mut next_block = layout.data / BLOCK;
    for (index, (node, place)) in nodes.iter().zip(&layout.places).enumerate() {
        out.resize(place.position, 0);
        let words = shared.words_of(node);
        let number = match version {
            Version::V0 | Version::V1 => index,
            Version::V2 => place.position / SLOT,
        };
        let address = data_address(node, place, next_block, version);
        inode(node, place, words, number, address, version, &mut out);
        shared.write_of(node, layout.inodes_end, &mut out);
        tail(node, place, layout, &mut out);
        next_block += place.blocks;
    }
    out.resize(layout.inodes_end, 0);
    shared.write(&mut out);
    for (node, place) in nodes.iter().zip(&layout.places) {
        out.resize(out.len().next_multiple_of(BLOCK), 0);
        blocks(node, place, layout, &mut out);
    }
    out.resize(layout.blocks as usize * BLOCK, 0);
    out
}

/// `struct lcfs_erofs_header_s` at the very beginning.
fn header(nodes: &[Node<'_>], version: Version, out: &mut Vec<u8>) {
    let is_acl = |node: &Node<'_>| node.xattrs.iter().any(Xattr::is_acl);
    let has_acl = version != Version::V2 && nodes.iter().any(is_acl);
    let version = match version {
        Version::V0 => 0,
        Version::V1 => 1,
        Version::V2 => 2,
    };
    for word in [0xd078_629a_u32, 1, u32::from(has_acl), version] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.resize(SUPERBLOCK, 0);
}

/// `struct erofs_super_block`.
fn superblock(nodes: &[Node<'_>], layout: &Layout, version: Version, out: &mut Vec<u8>) {
    // Modification times, and a filter of attributes' names.
    let features = 0x2_u32 | 0x4;
    let root = layout
        .places
        .first()
        .map_or(0, |place| place.position / SLOT);
    let xattrs = match version {
        Version::V0 | Version::V1 => layout.inodes_end / BLOCK,
        Version::V2 => 0,
    };
    out.extend_from_slice(&0xE0F5_E1E2_u32.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&features.to_le_bytes());
    out.extend_from_slice(&[12, 0]);
    out.extend_from_slice(&u16::try_from(root).unwrap_or_default().to_le_bytes());
    out.extend_from_slice(&(nodes.len() as u64).to_le_bytes());
    out.extend_from_slice(&layout.oldest.seconds.to_le_bytes());
    out.extend_from_slice(&layout.oldest.nanoseconds.to_le_bytes());
    out.extend_from_slice(&layout.blocks.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&low_32(xattrs));
    out.resize(SUPERBLOCK + 128, 0);
}

/// `struct erofs_inode_compact` or `struct erofs_inode_extended`.
fn inode(
    node: &Node<'_>,
    place: &Place,
    xattr_words: u16,
    number: usize,
    address: [u8; 4],
    version: Version,
    out: &mut Vec<u8>,
) {
    let is_external = matches!(node.body, Body::External(_));
    let data_layout: u16 = match (is_external, place.tail > 0) {
        (true, _) => 4,
        (false, true) => 2,
        (false, false) => 0,
    };
    let format = data_layout << 1 | u16::from(!place.is_compact);
    out.extend_from_slice(&format.to_le_bytes());
    out.extend_from_slice(&xattr_words.to_le_bytes());
    out.extend_from_slice(&low_16(node.kind.mode | node.permissions));
    if place.is_compact {
        out.extend_from_slice(&low_16(node.links()));
        out.extend_from_slice(&place.size.to_le_bytes()[..4]);
        out.extend_from_slice(&[0; 4]);
    } else {
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&place.size.to_le_bytes());
    }
    out.extend_from_slice(&address);
    out.extend_from_slice(&low_32(number));
    if place.is_compact {
        out.extend_from_slice(&low_16(node.uid));
        out.extend_from_slice(&low_16(node.gid));
        out.extend_from_slice(&[0; 4]);
    } else {
        out.extend_from_slice(&node.uid.to_le_bytes());
        out.extend_from_slice(&node.gid.to_le_bytes());
        let nanoseconds = match version {
            Version::V0 | Version::V1 => node.mtime.nanoseconds,
            Version::V2 => 0,
        };
        out.extend_from_slice(&node.mtime.seconds.to_le_bytes());
        out.extend_from_slice(&nanoseconds.to_le_bytes());
        out.extend_from_slice(&node.links().to_le_bytes());
        out.extend_from_slice(&[0; 16]);
    }
}

/// The first block, for an external file the size of its chunks, for a device its number.
fn data_address(node: &Node<'_>, place: &Place, next_block: usize, version: Version) -> [u8; 4] {
    let block = if place.blocks > 0 { next_block } else { 0 };
    let mut address = low_32(block);
    match &node.body {
        Body::External(size) => {
            let chunks = match version {
                Version::V0 | Version::V1 => chunks(*size).0,
                Version::V2 => LARGEST_CHUNKS,
            };
            address[..2].copy_from_slice(&chunks.to_le_bytes());
            address
        }
        Body::Device(number) => number.to_le_bytes(),
        _ => address,
    }
}

/// What stands right behind an inode and its attributes.
fn tail(node: &Node<'_>, place: &Place, layout: &Layout, out: &mut Vec<u8>) {
    if place.tail == 0 {
        return;
    }
    match &node.body {
        Body::Dir(entries) => {
            let last = blocks_of(entries).pop().unwrap_or_default();
            directory(last, layout, out);
        }
        Body::External(_) => out.extend(NOWHERE.iter().cycle().take(place.tail)),
        Body::Bytes(bytes) => out.extend_from_slice(&bytes[bytes.len() - place.tail..]),
        Body::Device(_) | Body::Nothing => {}
    }
}

/// The blocks of an inode, all but the last one filled.
fn blocks(node: &Node<'_>, place: &Place, layout: &Layout, out: &mut Vec<u8>) {
    match &node.body {
        Body::Dir(entries) => {
            for block in blocks_of(entries).into_iter().take(place.blocks) {
                out.resize(out.len().next_multiple_of(BLOCK), 0);
                directory(block, layout, out);
            }
        }
        Body::External(_) if place.blocks > 0 => out.extend([0xff; BLOCK]),
        Body::Bytes(target) if node.kind == SYMLINK && place.blocks > 0 => {
            out.extend_from_slice(target);
        }
        Body::Bytes(content) if place.blocks > 0 => {
            out.extend_from_slice(&content[..content.len() - place.tail]);
        }
        _ => {}
    }
}

/// The entries of a directory, cut into blocks.
fn blocks_of<'n, 't>(entries: &'n [Entry<'t>]) -> Vec<&'n [Entry<'t>]> {
    let mut blocks = Vec::new();
    let (mut first, mut filled) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let size = DIRENT + entry.name.len();
        if filled + size > BLOCK {
            blocks.push(&entries[first..index]);
            (first, filled) = (index, 0);
        }
        filled += size;
    }
    blocks.push(&entries[first..]);
    blocks
}

/// Entries, then their names.
fn directory(entries: &[Entry<'_>], layout: &Layout, out: &mut Vec<u8>) {
    let mut name = entries.len() * DIRENT;
    for entry in entries {
        let inode = (layout.places[entry.node].position / SLOT) as u64;
        out.extend_from_slice(&inode.to_le_bytes());
        out.extend_from_slice(&u16::try_from(name).unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&[entry.kind.number, 0]);
        name += entry.name.len();
    }
    for entry in entries {
        out.extend_from_slice(&entry.name);
    }
}

/// Numbers that were checked to fit.
fn low_16(number: u32) -> [u8; 2] {
    u16::try_from(number).unwrap_or_default().to_le_bytes()
}

fn low_32(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or_default().to_le_bytes()
}
