//! Images: a tree of metadata as EROFS.

mod emit;
mod layout;
mod links;
mod nodes;
mod read;
mod xattrs;

use std::sync::Arc;

use error_class::{Classified, ErrorClass};
use tree::Dir;

use crate::Digest;

pub use read::{ReadImageError, image_objects, read_image};

/// A root whose files are elsewhere.
pub type ImageTree = Dir<Attributes, File>;

/// Owner, mode and extended attributes of anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The low twelve bits of the mode.
    pub permissions: u32,
    /// When it was modified last.
    pub mtime: Timestamp,
    /// Names with their values; each name once, in any order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A time since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds; the format has no times before 1970.
    pub seconds: u64,
    /// Nanoseconds, less than a second.
    pub nanoseconds: u32,
}

/// Anything but a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// A file without content.
    Empty(Attributes),
    /// A file whose content is an object elsewhere.
    External {
        /// Owner, mode, attributes; those of the object do not count.
        attributes: Attributes,
        /// Bytes of the content; not 0.
        size: u64,
        /// The object's path below the directory of objects, without a slash in front.
        object: String,
        /// What the kernel shall demand of the object, if anything.
        digest: Option<Digest>,
    },
    /// A file whose content, not empty and at most a block's, is in the image itself.
    Inline(Attributes, Vec<u8>),
    /// A symbolic link.
    Symlink(Attributes, Vec<u8>),
    /// A device or a pipe.
    Special(Attributes, Special),
    /// One of several names of a file: wherever the same allocation stands, it is the same inode.
    Linked(Arc<File>),
}

impl File {
    /// Owner, mode and extended attributes.
    #[must_use]
    pub fn attributes(&self) -> &Attributes {
        match self {
            Self::Empty(attributes)
            | Self::External { attributes, .. }
            | Self::Inline(attributes, _)
            | Self::Symlink(attributes, _)
            | Self::Special(attributes, _) => attributes,
            Self::Linked(file) => file.attributes(),
        }
    }
}

/// What has neither content nor a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A character device with the number that the kernel knows it by; 0 is a whiteout of overlayfs.
    Character(u32),
    /// A block device.
    Block(u32),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// The form of an image. The first two differ only in what the header says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// What `mkcomposefs` and libostree write unless asked otherwise.
    #[default]
    V0,
    /// What the repositories of composefs-rs contain by default (`mkcomposefs --min-version=1`).
    V1,
    /// What the first repositories of composefs-rs contain: inodes depth first and all of the large kind, times
    /// in whole seconds, no whiteouts over the directories of objects.
    V2,
}

/// Why a tree has no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The format has no room for the attributes of one thing.
    #[error("the extended attributes of {path:?} are too large for an image: {reason}")]
    Attributes {
        /// What has them, escaped.
        path: String,
        /// Which limit.
        reason: &'static str,
    },
    /// The target of a symbolic link is empty or longer than a block.
    #[error(
        "the symbolic link {path:?} has a target of {length} bytes, which an image cannot hold"
    )]
    Symlink {
        /// The link, escaped.
        path: String,
        /// Bytes of its target.
        length: usize,
    },
    /// Block numbers do not suffice.
    #[error("the image would be larger than the format allows")]
    TooLarge,
}

impl Classified for ImageError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Unsupported
    }
}

/// The image of a tree. But for [`Version::V2`], the root is opaque and has whiteouts over the objects'
/// directories (`00` to `ff`), which would show through otherwise, and whiteouts of the tree itself are written
/// as overlayfs shows them again.
///
/// The bytes depend on nothing but the arguments; they are those that `mkcomposefs` and composefs-rs write.
///
/// # Errors
/// [`ImageError`] names what the format cannot hold.
pub fn image(tree: &ImageTree, version: Version) -> Result<Vec<u8>, ImageError> {
    let nodes = nodes::collect(tree, version)?;
    let shared = xattrs::share(&nodes, version);
    let layout = layout::lay_out(&nodes, &shared, version)?;
    Ok(emit::emit(&nodes, &shared, &layout, version))
}
