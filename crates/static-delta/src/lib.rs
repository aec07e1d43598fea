//! Static deltas: everything that leads from one OSTree commit (or from none) to another, in few files.
//!
//! Bytes in, values out; nothing here touches a disk. A delta is a *superblock*, which has the commit it
//! leads to and lists its parts, and *parts*, each of which makes a run of objects by a small program
//! ([`Operation`]) over a payload. Objects that are too large to be in a part are *fallbacks* that are fetched
//! one by one.
//!
//! Whoever has the bytes of a superblock goes on like this:
//!
//! 1. [`DeltaFile::from_bytes`] takes the signatures off, if there are any; they sign
//!    [`DeltaFile::superblock`].
//! 2. [`Superblock::from_bytes`] parses what was signed.
//! 3. Each of [`Superblock::parts`] stands in the superblock itself ([`Superblock::inline_part`]) or in a file
//!    of its own beside it ([`DeltaName::part_path`]). [`PartHeader::open`] checks and unpacks it.
//! 4. [`Part::operations`] are carried out, which is up to the store.
//!
//! [`PartBuilder`] goes the other way, helped by [`rollsum`], [`bspatch::diff`] and [`similar`].
//!
//! Source of the formats: libostree's `ostree-repo-static-delta-private.h`; xz; the raw control blocks of
//! bsdiff as in `bsdiff` of M. Endsley.

pub mod bspatch;
mod builder;
mod endianness;
mod error;
mod file;
mod index;
mod name;
mod operation;
mod part;
pub mod rollsum;
pub mod similar;
mod superblock;
mod varint;

pub use builder::PartBuilder;
pub use endianness::Endianness;
pub use error::DeltaError;
pub use file::DeltaFile;
pub use index::{DeltaIndex, digests_from_value, digests_to_value};
pub use name::{DeltaName, InvalidDeltaName};
pub use operation::{Counts, Operation, Operations};
pub use part::{Part, PartHeader};
pub use superblock::{Fallback, Superblock};
