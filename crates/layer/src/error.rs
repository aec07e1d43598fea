use std::io;

use error_class::{Classified, ErrorClass};
use ostree::WriteError;
use ostree_format::{Checksum, FormatError};
use tar_core::parse::ParseError;

use crate::tap::TapError;

/// Why a layer was not imported. Nothing of it is visible in the repository then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The blob could not be read; also when it does not have the digest it is named by.
    #[error("cannot read the layer: {0}")]
    Read(#[source] io::Error),
    /// The blob does not decompress.
    #[error("the {format} stream is damaged after {offset} unpacked bytes: {source}")]
    Decompress {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// Bytes that came out before.
        offset: u64,
        /// What the decompressor said.
        source: io::Error,
    },
    /// The blob is compressed in a way that is not supported.
    #[error("the layer is compressed with {0}, which is not supported; use gzip or zstd")]
    UnsupportedCompression(&'static str),
    /// The unpacked layer is not the one that the image's config names.
    #[error(
        "the unpacked layer has the diff_id sha256:{actual}, but the image's config says sha256:{expected}"
    )]
    DiffIdMismatch {
        /// What the config says.
        expected: Checksum,
        /// What the content hashes to.
        actual: Checksum,
    },
    /// The layer unpacks to far more than its size can justify.
    #[error(
        "the layer unpacks to more than {limit} bytes, the limit for its compressed size of {compressed} bytes"
    )]
    Bomb {
        /// The limit that was passed.
        limit: u64,
        /// The size of the blob.
        compressed: u64,
    },
    /// The layer has more entries than are accepted.
    #[error("the layer has more than {0} entries")]
    TooManyEntries(usize),
    /// The tar archive is malformed.
    #[error("the tar archive is malformed at offset {offset}: {source}")]
    Tar {
        /// Offset in the unpacked layer.
        offset: u64,
        /// What the parser said.
        source: Box<ParseError>,
    },
    /// A global extended header would change the entries behind it, which programs do not agree about.
    #[error(
        "a global extended header at offset {offset} sets {key:?} for all entries; build the layer without it"
    )]
    GlobalHeader {
        /// Offset in the unpacked layer.
        offset: u64,
        /// The key.
        key: String,
    },
    /// The archive ends in the middle of an entry.
    #[error("the tar archive ends in the middle of {path:?}, at offset {offset}")]
    Truncated {
        /// The entry; empty inside a header.
        path: String,
        /// Offset in the unpacked layer.
        offset: u64,
    },
    /// An entry cannot be accepted.
    #[error("entry {path:?}: {reason}")]
    Entry {
        /// The path as it stands in the archive, escaped.
        path: String,
        /// What is wrong with it.
        reason: EntryProblem,
    },
    /// An object of an encapsulated commit is malformed.
    #[error("entry {path:?} is no valid object: {source}")]
    Object {
        /// The path as it stands in the archive.
        path: String,
        /// What is wrong with it.
        source: FormatError,
    },
    /// The first layer of an encapsulated image does not begin with a commit.
    #[error(
        "the layer holds no commit object, which the first layer of an encapsulated image must"
    )]
    NoCommit,
    /// Another store could not take in the archive.
    #[error(transparent)]
    Tap(Box<TapError>),
    /// The repository did not take an object.
    #[error("cannot store {path:?}: {source}")]
    Store {
        /// The path as it stands in the archive, escaped.
        path: String,
        /// Why.
        source: Box<WriteError>,
    },
}

/// What is wrong with an entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryProblem {
    /// It would lie outside of the tree.
    #[error("it contains \"..\"; a layer must not reach outside of its tree")]
    ParentReference,
    /// It has no name.
    #[error("it has no name")]
    NoName,
    /// The archive does not name the directory that it lies in.
    #[error(
        "the archive does not name the directory that it lies in (see --tar-autocreate-parents)"
    )]
    NoParent,
    /// It may not be stored as the options ask.
    #[error("{0}")]
    Refused(String),
    /// The root of the tree is something else than a directory.
    #[error("the root of a layer must be a directory")]
    RootNotDirectory,
    /// A whiteout that names nothing that could be removed.
    #[error("it is a whiteout of no file")]
    BadWhiteout,
    /// A component is not UTF-8, which OSTree requires.
    #[error("its name is not UTF-8; OSTree cannot store it")]
    NameNotUtf8,
    /// A component is longer than a file name may be.
    #[error("its name has a component of more than 255 bytes")]
    NameTooLong,
    /// Directories are nested more deeply than OSTree allows.
    #[error("it is nested more than 256 directories deep")]
    TooDeep,
    /// A link target is not UTF-8, empty or too long.
    #[error("its link target is empty, longer than 4095 bytes or not UTF-8")]
    BadLinkTarget,
    /// An owner does not fit into 32 bits.
    #[error("its owner does not fit into 32 bits")]
    OwnerOutOfRange,
    /// Neither file, directory nor link.
    #[error(
        "it is a {0}; OSTree stores only files, directories and symbolic links, so it must be created at boot \
         (for example by systemd-tmpfiles)"
    )]
    UnsupportedType(&'static str),
    /// A hard link names something that is no file.
    #[error("it is a hard link to {0:?}, which is a directory")]
    LinkToDirectory(String),
    /// A hard link names nothing that is known.
    #[error("it is a hard link to {0:?}, which is neither in this layer nor in one below it")]
    DanglingLink(String),
    /// A part of the path is a file in the same layer.
    #[error("its parent {0:?} is not a directory")]
    ParentNotDirectory(String),
    /// The sparse map is not consistent.
    #[error("its sparse map does not fit its size")]
    BadSparseMap,
    /// An extended attribute is malformed.
    #[error("its extended attribute {0:?} is malformed")]
    BadXattr(String),
    /// A number in its extended header is malformed.
    #[error("its extended header has a malformed {0}")]
    BadPaxValue(&'static str),
    /// Its size has more than 63 bits.
    #[error("its size is out of range")]
    SizeOutOfRange,
    /// Its extended header has a malformed record.
    #[error("its extended header is malformed")]
    BadPaxRecord,
    /// Extended attributes of an object come without the object, or twice.
    #[error("its extended attributes are missing or do not belong to it")]
    XattrsMismatch,
    /// An object has a kind that does not belong into the layer.
    #[error("it does not belong into this layer of an encapsulated image")]
    UnexpectedObject,
    /// The object's content does not hash to its name.
    #[error("its content hashes to {0}")]
    ChecksumMismatch(Checksum),
    /// An object is larger than its kind may be.
    #[error("it is larger than an object of its kind may be")]
    TooLarge,
}

impl LayerError {
    /// An entry problem, with the raw path made printable.
    pub(crate) fn entry(path: &[u8], reason: EntryProblem) -> Self {
        Self::Entry {
            path: printable(path),
            reason,
        }
    }

    /// A failed write, with the raw path made printable.
    pub(crate) fn store(path: &[u8], source: WriteError) -> Self {
        Self::Store {
            path: printable(path),
            source: Box::new(source),
        }
    }

    /// Whether the fault may lie in a damaged blob rather than in what was packed into it.
    pub(crate) fn may_be_damage(&self) -> bool {
        matches!(
            self,
            Self::Tar { .. }
                | Self::Truncated { .. }
                | Self::Entry { .. }
                | Self::Object { .. }
                | Self::NoCommit
                | Self::Bomb { .. }
                | Self::TooManyEntries(_)
                | Self::GlobalHeader { .. }
        )
    }
}

pub(crate) fn printable(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) => text.to_owned(),
        Err(_) => path.escape_ascii().to_string(),
    }
}

impl Classified for LayerError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Store { source, .. } => source.class(),
            Self::Tap(error) => error.class(),
            Self::Decompress { .. }
            | Self::DiffIdMismatch { .. }
            | Self::Tar { .. }
            | Self::Truncated { .. }
            | Self::Object { .. } => ErrorClass::Corrupt,
            Self::UnsupportedCompression(_) => ErrorClass::Unsupported,
            Self::Bomb { .. }
            | Self::TooManyEntries(_)
            | Self::NoCommit
            | Self::GlobalHeader { .. } => ErrorClass::InvalidInput,
            Self::Entry { reason, .. } => match reason {
                EntryProblem::ChecksumMismatch(_)
                | EntryProblem::BadPaxRecord
                | EntryProblem::BadPaxValue(_)
                | EntryProblem::SizeOutOfRange => ErrorClass::Corrupt,
                _ => ErrorClass::InvalidInput,
            },
        }
    }
}
