//! Images: a tree of metadata as EROFS.

mod emit;
mod layout;
mod nodes;
mod xattrs;

use error_class::{Classified, ErrorClass};
use tree::Dir;

use crate::Digest;

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
    /// Names with their values; each name once, in any order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
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
}

/// What is said about the format in an image's header; the rest is the same for both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// What `mkcomposefs` and libostree write unless asked otherwise.
    #[default]
    V0,
    /// What the repositories of composefs-rs contain by default (`mkcomposefs --min-version=1`).
    V1,
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

/// The image of a tree: all times are 0, as in OSTree, nothing is linked twice, and the root is opaque and
/// has whiteouts over the objects' directories (`00` to `ff`), which would show through otherwise.
///
/// The bytes depend on nothing but the arguments; they are those that `mkcomposefs` writes.
///
/// # Errors
/// [`ImageError`] names what the format cannot hold.
pub fn image(tree: &ImageTree, version: Version) -> Result<Vec<u8>, ImageError> {
    let nodes = nodes::collect(tree)?;
    let shared = xattrs::share(&nodes);
    let layout = layout::lay_out(&nodes, &shared)?;
    Ok(emit::emit(&nodes, &shared, &layout, version))
}
