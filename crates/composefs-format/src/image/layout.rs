//! Where everything stands in an image: superblock, inodes, shared attributes, blocks.

use super::nodes::{Body, Node, SYMLINK};
use super::xattrs::Shared;
use super::{ImageError, Timestamp, Version};

pub(super) const BLOCK: usize = 4096;

/// Inodes begin at multiples of this; its number is the inode's.
pub(super) const SLOT: usize = 32;

/// The superblock and its size.
pub(super) const SUPERBLOCK: usize = 1024;
const SUPERBLOCK_SIZE: usize = 128;

/// `struct erofs_dirent`.
pub(super) const DIRENT: usize = 12;

const COMPACT: usize = 32;
const EXTENDED: usize = 64;

/// Where an inode stands and what it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Byte of the image.
    pub(super) position: usize,
    /// Whether 16 bits suffice for owner, group and links, and 32 for the size, and it is as old as anything.
    pub(super) is_compact: bool,
    /// Blocks of data elsewhere.
    pub(super) blocks: usize,
    /// Bytes of data right behind the inode and its attributes.
    pub(super) tail: usize,
    /// Size of the file, as the inode says.
    pub(super) size: u64,
}

/// The whole.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) places: Vec<Place>,
    /// Where the shared attributes begin.
    pub(super) inodes_end: usize,
    /// Where the blocks begin.
    pub(super) data: usize,
    /// Number of all blocks.
    pub(super) blocks: u32,
    /// The time of all inodes that do not say one.
    pub(super) oldest: Timestamp,
}

pub(super) fn lay_out(
    nodes: &[Node<'_>],
    shared: &Shared<'_>,
    version: Version,
) -> Result<Layout, ImageError> {
    let mut position = SUPERBLOCK + SUPERBLOCK_SIZE;
    let mut places = Vec::with_capacity(nodes.len());
    let mut data_blocks = 0;
    let oldest = match version {
        Version::V0 | Version::V1 => nodes.iter().map(|node| node.mtime).min(),
        Version::V2 => None,
    };
    for node in nodes {
        let (mut place, inode_size) = measure(node, oldest);
        let head = inode_size + shared.size_of(node);
        place.position = position.next_multiple_of(SLOT);
        match version {
            Version::V0 | Version::V1 => keep_tail_in_block(&mut place, node, head),
            Version::V2 => begin_tail_in_block(&mut place, node, head),
        }
        position = place.position + head + place.tail;
        data_blocks += place.blocks;
        places.push(place);
    }
    let inodes_end = position.next_multiple_of(SLOT);
    let data = (inodes_end + shared.size()).next_multiple_of(BLOCK);
    let blocks = u32::try_from(data / BLOCK + data_blocks).map_err(|_| ImageError::TooLarge)?;
    Ok(Layout {
        places,
        inodes_end,
        data,
        blocks,
        oldest: oldest.unwrap_or_default(),
    })
}

/// Sizes of an inode before it has a place. None is compact when there is no oldest time.
fn measure(node: &Node<'_>, oldest: Option<Timestamp>) -> (Place, usize) {
    let (blocks, tail) = match &node.body {
        Body::Dir(entries) => directory_size(entries.iter().map(|entry| entry.name.len())),
        Body::External(_) if oldest.is_none() => (0, 4),
        Body::External(size) => (0, chunks(*size).1 * 4),
        Body::Bytes(bytes) if node.kind == SYMLINK || oldest.is_none() => (0, bytes.len()),
        Body::Bytes(content) => match (content.len() / BLOCK, content.len() % BLOCK) {
            (full, rest) if rest > BLOCK / 2 => (full + 1, 0),
            parts => parts,
        },
        Body::Device(_) | Body::Nothing => (0, 0),
    };
    let size = match &node.body {
        Body::Dir(_) => (blocks * BLOCK + tail) as u64,
        Body::External(size) => *size,
        Body::Bytes(bytes) => bytes.len() as u64,
        Body::Device(_) | Body::Nothing => 0,
    };
    let small = [node.uid, node.gid, node.links()];
    let fits = small.iter().all(|n| u16::try_from(*n).is_ok()) && u32::try_from(size).is_ok();
    let is_compact = fits && oldest == Some(node.mtime);
    let place = Place {
        position: 0,
        is_compact,
        blocks,
        tail,
        size,
    };
    (place, if is_compact { COMPACT } else { EXTENDED })
}

/// Full blocks and the bytes of the rest, which is kept out of the inode when it is more than half a block.
fn directory_size(names: impl Iterator<Item = usize>) -> (usize, usize) {
    let (mut blocks, mut filled) = (0, 0);
    for name in names {
        if filled + DIRENT + name > BLOCK {
            blocks += 1;
            filled = 0;
        }
        filled += DIRENT + name;
    }
    if filled > BLOCK / 2 {
        return (blocks + 1, 0);
    }
    (blocks, filled)
}

/// The logarithm of the size of chunks, in blocks, and their number: as few as possible.
pub(super) fn chunks(size: u64) -> (u16, usize) {
    let bits = (u64::BITS - size.saturating_sub(1).leading_zeros()).clamp(12, 12 + 31);
    let number = size.div_ceil(1 << bits);
    let bits = u16::try_from(bits - 12).unwrap_or_default();
    (bits, usize::try_from(number).unwrap_or(usize::MAX))
}

/// Moves an inode so that what stands right behind it does not cross a block's end, or gives that a block of
/// its own. The target of a symbolic link must be in the same block as its inode.
fn keep_tail_in_block(place: &mut Place, node: &Node<'_>, head: usize) {
    let next_block = place.position.next_multiple_of(BLOCK);
    if node.kind == SYMLINK {
        let whole = head + place.tail;
        let crosses = place.position / BLOCK != (place.position + whole - 1) / BLOCK;
        if whole >= BLOCK {
            (place.blocks, place.tail) = (place.blocks + 1, 0);
        }
        if crosses {
            place.position = next_block;
        }
        return;
    }
    let left = |position: usize| BLOCK - (position + head) % BLOCK;
    if left(place.position) >= place.tail {
        return;
    }
    let moved = place.position + left(place.position).next_multiple_of(SLOT);
    if left(moved) >= place.tail {
        place.position = moved;
    } else {
        (place.blocks, place.tail) = (place.blocks + 1, 0);
        place.position = next_block;
    }
}

/// As [`Version::V2`] has it: what stands right behind an inode begins in a block of its own, if it would go over
/// its end or exactly up to it.
fn begin_tail_in_block(place: &mut Place, node: &Node<'_>, head: usize) {
    if place.tail == 0 || matches!(node.body, Body::External(_)) {
        return;
    }
    let last = place.position + head - 1;
    let end = last + 1 + place.tail % BLOCK;
    if last / BLOCK != end / BLOCK {
        place.position = (place.position + BLOCK - last % BLOCK).next_multiple_of(SLOT);
    }
}
