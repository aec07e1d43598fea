//! Formats of composefs: digests of fs-verity, images in EROFS, and split streams, as bytes. Touches no disk.
//!
//! An image has all of a root but the content of its files: directories, owners, modes, attributes, links,
//! and for every file the path of an object elsewhere and, where wanted, the digest by which the kernel
//! verifies it. overlayfs joins the two (`redirect`, `metacopy`, data-only lower directories).
//!
//! Sources of the formats: the kernel's documentation of fs-verity (`filesystems/fsverity.rst`), EROFS and
//! overlayfs, and what `mkcomposefs` 1.0.8 and composefs-rs 0.9.4 write, which the tests compare with byte for byte.

mod digest;
mod image;
mod stream;
mod verity;

pub use digest::{Algorithm, Digest, DigestError};
pub use image::{
    Attributes, File, ImageError, ImageTree, ReadImageError, Special, Timestamp, Version, image,
    image_objects, read_image,
};
pub use stream::{Piece, Stream, StreamError, StreamPart, StreamParts, StreamWriter};
pub use verity::VerityHasher;
