//! The header of an entry: what the parser found, checked and converted.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine};
use ostree_format::Xattrs;
use tar_core::parse::ParsedEntry;
use tar_core::{EntryType, Header};

use crate::error::{EntryProblem, LayerError, printable};
use crate::pax::{self, Record};

/// In front of an attribute's name in a PAX record, base64 as libarchive writes it.
const LIBARCHIVE_XATTR: &str = "LIBARCHIVE.xattr.";

/// In front of an attribute's name in a PAX record, as GNU tar and star write it.
const SCHILY_XATTR: &str = "SCHILY.xattr.";

/// libarchive leaves the padding out, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "all that an archive can have")]
pub enum EntryKind {
    /// A regular file, or something of a type that nobody knows.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// Another name of an entry before.
    HardLink,
    /// Something that OSTree does not store.
    Special(Special),
}

/// A file that is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "all that an archive can have")]
pub enum Special {
    /// A character device, with its major and minor number.
    Character(u32, u32),
    /// A block device, with its major and minor number.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

impl Special {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Character(..) => "character device",
            Self::Block(..) => "block device",
            Self::Fifo => "fifo",
        }
    }
}

/// The header of an entry.
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Its path as it stands in the archive.
    pub path: Vec<u8>,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Whether it is a file to everybody, and not only because nobody knows its type.
    pub is_plain: bool,
    /// The lower twelve bits of its mode.
    pub permissions: u32,
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// When it was changed last: seconds since 1970, and nanoseconds.
    pub mtime: (u64, u32),
    /// Its extended attributes.
    pub xattrs: Xattrs,
    /// Bytes of content, once holes are filled in.
    pub size: u64,
    /// Where content is, for a sparse file: offset and length of each region.
    pub regions: Option<Vec<(u64, u64)>>,
    /// Bytes of the entry in the archive, without padding.
    pub stored: u64,
}

/// GNU tar's type of a directory in an incremental dump.
const DUMP_DIRECTORY: u8 = b'D';

/// Where a header keeps the size.
const SIZE_FIELD: std::ops::Range<usize> = 124..136;

/// A sparse map: where content is, and the size with holes.
pub(crate) type Sparse = (Vec<(u64, u64)>, u64);

/// Check and convert what the parser found.
pub(crate) fn convert(
    parsed: &ParsedEntry<'_>,
    sparse: Option<Sparse>,
) -> Result<Entry, LayerError> {
    let raw = |reason| LayerError::entry(&parsed.path, reason);
    let records = pax::records(parsed.pax.unwrap_or_default()).map_err(raw)?;
    let path = path(parsed, &records);
    let problem = |reason| LayerError::entry(&path, reason);
    let number = |n: u64| u32::try_from(n).map_err(|_| problem(EntryProblem::OwnerOutOfRange));
    check_numbers(parsed.header, &records).map_err(problem)?;
    let (regions, size) = match sparse {
        None => (None, parsed.size),
        Some((map, real_size)) => {
            check_sparse(&map, real_size, parsed.size).map_err(problem)?;
            (Some(map), real_size)
        }
    };
    let kind = kind(parsed);
    // Nothing but files has content in an archive, whatever the size field says; so reads Go's
    // archive/tar, which most images are made and taken apart with.
    let (size, stored) = match (kind, parsed.entry_type) {
        (EntryKind::File, _) => (size, parsed.size),
        // Names of files, which mean nothing outside of the series of dumps.
        (_, EntryType::Other(DUMP_DIRECTORY)) => (0, parsed.size),
        _ => (0, 0),
    };
    Ok(Entry {
        link: parsed
            .link_target
            .as_ref()
            .map(|target| target.to_vec())
            .unwrap_or_default(),
        kind,
        is_plain: matches!(
            parsed.entry_type,
            EntryType::Regular | EntryType::Continuous
        ),
        permissions: parsed.mode & 0o7777,
        mtime: (parsed.mtime, nanoseconds(&records)),
        uid: number(parsed.uid)?,
        gid: number(parsed.gid)?,
        xattrs: xattrs(&records).map_err(problem)?,
        size,
        regions,
        stored,
        path,
    })
}

fn kind(parsed: &ParsedEntry<'_>) -> EntryKind {
    match parsed.entry_type {
        // Archives from before POSIX mark a directory only by the slash.
        EntryType::Regular if parsed.path.ends_with(b"/") => EntryKind::Dir,
        EntryType::Regular | EntryType::Continuous | EntryType::GnuSparse => EntryKind::File,
        EntryType::Directory => EntryKind::Dir,
        EntryType::Symlink => EntryKind::Symlink,
        EntryType::Link => EntryKind::HardLink,
        EntryType::Char => EntryKind::Special(device(parsed, Special::Character)),
        EntryType::Block => EntryKind::Special(device(parsed, Special::Block)),
        EntryType::Fifo => EntryKind::Special(Special::Fifo),
        EntryType::Other(DUMP_DIRECTORY) => EntryKind::Dir,
        // POSIX: what nobody knows is a file.
        _ => EntryKind::File,
    }
}

fn device(parsed: &ParsedEntry<'_>, make: fn(u32, u32) -> Special) -> Special {
    let number = |number: Option<u32>| number.unwrap_or_default();
    make(number(parsed.dev_major), number(parsed.dev_minor))
}

/// The part of the time of modification behind the point.
fn nanoseconds(records: &[Record<'_>]) -> u32 {
    let value = pax::last(records, "mtime").and_then(|value| std::str::from_utf8(value).ok());
    let Some((_, fraction)) = value.and_then(|value| value.split_once('.')) else {
        return 0;
    };
    let digits = fraction.get(..9).unwrap_or(fraction);
    format!("{digits:0<9}").parse().unwrap_or_default()
}

/// The path, which an empty PAX record gives back to the header.
fn path(parsed: &ParsedEntry<'_>, records: &[Record<'_>]) -> Vec<u8> {
    if pax::last(records, "path") != Some(b"") {
        return parsed.path.to_vec();
    }
    let header = parsed.header;
    match header
        .prefix()
        .filter(|prefix| header.is_ustar() && !prefix.is_empty())
    {
        Some(prefix) => [prefix, b"/", header.path_bytes()].concat(),
        None => header.path_bytes().to_vec(),
    }
}

/// Numbers that programs could read differently: those that lenient parsing of times would hide, and
/// sizes of more than 63 bits.
fn check_numbers(header: &Header, records: &[Record<'_>]) -> Result<(), EntryProblem> {
    for key in ["size", "uid", "gid"] {
        let number =
            |value: &[u8]| std::str::from_utf8(value).is_ok_and(|v| v.parse::<u64>().is_ok());
        let valid = |value: &&[u8]| value.is_empty() || number(value);
        if records.iter().any(|(k, value)| *k == key && !valid(value)) {
            return Err(EntryProblem::BadPaxValue(key));
        }
    }
    match header.as_bytes()[SIZE_FIELD] {
        // Base-256: a mark, then the number in big-endian order; only the last eight bytes may count.
        [0x80, 0, 0, 0, high, ..] if high < 0x80 => Ok(()),
        [first, ..] if first < 0x80 => Ok(()),
        _ => Err(EntryProblem::SizeOutOfRange),
    }
}

fn check_sparse(map: &[(u64, u64)], real_size: u64, stored: u64) -> Result<(), EntryProblem> {
    let mut at = 0u64;
    let mut data = 0u64;
    for (offset, length) in map {
        let end = offset.checked_add(*length).filter(|_| *offset >= at);
        at = end.ok_or(EntryProblem::BadSparseMap)?;
        data += length;
    }
    if at <= real_size && data == stored {
        Ok(())
    } else {
        Err(EntryProblem::BadSparseMap)
    }
}

/// Attributes in both forms; the first form of one counts.
fn xattrs(records: &[Record<'_>]) -> Result<Xattrs, EntryProblem> {
    let mut xattrs = Xattrs::new();
    for (key, value) in records {
        if let Some(name) = key.strip_prefix(LIBARCHIVE_XATTR) {
            let bad = || EntryProblem::BadXattr(name.to_owned());
            let value = BASE64.decode(value).map_err(|_| bad())?;
            xattrs.insert(
                &checked_name(percent_decoded(name.as_bytes(), |_| true))?,
                &value,
            );
        }
    }
    for (key, value) in records {
        if let Some(name) = key.strip_prefix(SCHILY_XATTR) {
            // GNU tar quotes just these two.
            let name = percent_decoded(name.as_bytes(), |byte| matches!(byte, b'=' | b'%'));
            xattrs.insert(&checked_name(name)?, value);
        }
    }
    Ok(xattrs)
}

fn checked_name(name: Vec<u8>) -> Result<Vec<u8>, EntryProblem> {
    if name.is_empty() || name.len() > 255 || name.contains(&0) {
        return Err(EntryProblem::BadXattr(printable(&name)));
    }
    Ok(name)
}

/// Undo the quoting of those bytes that `quoted` says a writer quotes.
fn percent_decoded(name: &[u8], quoted: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(hex)
            .filter(|byte| quoted(*byte))
        {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}
