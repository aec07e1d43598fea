//! The entries of a tar archive, out of a stream of buffers.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine};
use ostree_format::Xattrs;
use tar_core::parse::{Limits, ParseError, ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, PaxExtensions};

use crate::chunks::Chunks;
use crate::error::{EntryProblem, LayerError, printable};

/// Bytes of a tar block.
const BLOCK: u64 = 512;

/// Entries in one layer: a bound on memory, some thirty times what a large operating system has.
pub(crate) const MAX_ENTRIES: usize = 2_000_000;

/// Longest path or link target in an archive, in bytes: the kernel's `PATH_MAX`.
const MAX_PATH: u32 = 4096;

/// Largest extended header: attributes of one file are at most 64 KiB each.
const MAX_EXTENDED_HEADER: u32 = 1024 * 1024;

/// In front of an attribute's name in a PAX record, base64 as libarchive writes it.
const LIBARCHIVE_XATTR: &str = "LIBARCHIVE.xattr.";

/// libarchive leaves the padding out, others do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Dir,
    Symlink,
    HardLink,
    /// Something that OSTree does not store.
    Other(&'static str),
}

/// The header of an entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) permissions: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) xattrs: Xattrs,
    /// Bytes of content, once holes are filled in.
    pub(crate) size: u64,
    /// Where content is, for a sparse file: offset and length of each region.
    pub(crate) regions: Option<Vec<(u64, u64)>>,
    /// Bytes of the entry in the archive, without padding.
    pub(crate) stored: u64,
}

/// Reads entries one after the other. After each, its content must be taken with
/// [`Entries::content`] or passed over with [`Entries::skip`].
pub(crate) struct Entries<'c> {
    source: &'c mut Chunks,
    parser: Parser,
    count: usize,
}

impl<'c> Entries<'c> {
    pub(crate) fn new(source: &'c mut Chunks) -> Self {
        let limits = Limits {
            max_metadata_size: MAX_EXTENDED_HEADER,
            max_path_len: Some(MAX_PATH),
            ..Limits::default()
        };
        let mut parser = Parser::new(limits);
        parser.set_allow_empty_path(true);
        Self {
            source,
            parser,
            count: 0,
        }
    }

    /// The next entry, or `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut wanted = usize::try_from(BLOCK).unwrap_or(512);
        loop {
            let offset = self.source.offset();
            let input = self.source.peek_at_least(wanted);
            if input.is_empty() {
                // Some writers leave out the two empty blocks that end an archive.
                return Ok(None);
            }
            let short = input.len() < wanted;
            match parse(&mut self.parser, input).map_err(|e| malformed(offset, e))? {
                Parsed::Entry(consumed, entry) => {
                    self.source.consume(consumed);
                    self.count += 1;
                    if self.count > MAX_ENTRIES {
                        return Err(LayerError::TooManyEntries(MAX_ENTRIES));
                    }
                    return entry.map(Some);
                }
                Parsed::Skip(consumed) => {
                    self.source.consume(consumed);
                    wanted = 512;
                }
                Parsed::End => return Ok(None),
                Parsed::NeedData(_) if short => {
                    return Err(LayerError::Truncated {
                        path: String::new(),
                        offset,
                    });
                }
                Parsed::NeedData(more) => wanted = more.max(wanted + 1),
            }
        }
    }

    /// The whole content of a small entry: handed over where it lies, if it lies in one piece.
    pub(crate) fn small_content<T>(
        &mut self,
        entry: &Entry,
        scratch: &mut Vec<u8>,
        take: impl FnOnce(&[u8]) -> Result<T, LayerError>,
    ) -> Result<T, LayerError> {
        let length = usize::try_from(entry.stored).unwrap_or(usize::MAX);
        let result = if entry.regions.is_none() && self.source.peek().len() >= length {
            let result = take(&self.source.peek()[..length])?;
            self.source.consume(length);
            result
        } else {
            scratch.clear();
            self.content(entry, |piece| {
                scratch.extend_from_slice(piece);
                Ok(())
            })?;
            return take(scratch);
        };
        self.pass_padding(entry)?;
        Ok(result)
    }

    /// Hand the content over piece by piece, holes filled with zeros.
    pub(crate) fn content(
        &mut self,
        entry: &Entry,
        mut take: impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        match &entry.regions {
            None => self.copy(entry, entry.stored, &mut take)?,
            Some(regions) => {
                let mut at = 0;
                for (offset, length) in regions {
                    zeros(offset - at, &mut take)?;
                    self.copy(entry, *length, &mut take)?;
                    at = offset + length;
                }
                zeros(entry.size - at, &mut take)?;
            }
        }
        self.pass_padding(entry)
    }

    /// Pass over the content.
    pub(crate) fn skip(&mut self, entry: &Entry) -> Result<(), LayerError> {
        self.copy(entry, entry.stored, &mut |_| Ok(()))?;
        self.pass_padding(entry)
    }

    fn copy(
        &mut self,
        entry: &Entry,
        count: u64,
        take: &mut impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        match self.source.copy(count, take)? {
            0 => Ok(()),
            _ => Err(self.truncated(entry)),
        }
    }

    fn pass_padding(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let padding = entry.stored.next_multiple_of(BLOCK) - entry.stored;
        self.copy(entry, padding, &mut |_| Ok(()))
    }

    fn truncated(&self, entry: &Entry) -> LayerError {
        LayerError::Truncated {
            path: printable(&entry.path),
            offset: self.source.offset(),
        }
    }
}

fn zeros(
    mut count: u64,
    take: &mut impl FnMut(&[u8]) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
    while count > 0 {
        let length = usize::try_from(count).map_or(ZEROS.len(), |count| count.min(ZEROS.len()));
        take(&ZEROS[..length])?;
        count -= length as u64;
    }
    Ok(())
}

enum Parsed {
    Entry(usize, Result<Entry, LayerError>),
    /// A global extended header: says nothing that a layer's meaning depends on.
    Skip(usize),
    End,
    NeedData(usize),
}

fn parse(parser: &mut Parser, input: &[u8]) -> Result<Parsed, ParseError> {
    let event = match parser.parse(input) {
        // Times before 1970 are written by some builders; times are not kept, so they may be ignored.
        Err(ParseError::InvalidPaxValue { key: "mtime", .. }) => {
            parser.set_ignore_pax_errors(true);
            let lenient = parser.parse(input);
            parser.set_ignore_pax_errors(false);
            lenient?
        }
        other => other?,
    };
    Ok(match event {
        ParseEvent::NeedData { min_bytes } => Parsed::NeedData(min_bytes),
        ParseEvent::GlobalExtensions { consumed, .. } => Parsed::Skip(consumed),
        ParseEvent::End { .. } => Parsed::End,
        ParseEvent::Entry { consumed, entry } => Parsed::Entry(consumed, convert(&entry, None)),
        ParseEvent::SparseEntry {
            consumed,
            entry,
            sparse_map,
            real_size,
        } => {
            let map = sparse_map
                .iter()
                .map(|region| (region.offset, region.length))
                .collect();
            Parsed::Entry(consumed, convert(&entry, Some((map, real_size))))
        }
    })
}

fn malformed(offset: u64, source: ParseError) -> LayerError {
    LayerError::Tar {
        offset,
        source: Box::new(source),
    }
}

fn convert(
    parsed: &ParsedEntry<'_>,
    sparse: Option<(Vec<(u64, u64)>, u64)>,
) -> Result<Entry, LayerError> {
    let path = parsed.path.to_vec();
    let problem = |reason| LayerError::entry(&path, reason);
    let number = |n: u64| u32::try_from(n).map_err(|_| problem(EntryProblem::OwnerOutOfRange));
    check_pax_numbers(parsed).map_err(problem)?;
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
    let (size, stored) = if kind == EntryKind::File {
        (size, parsed.size)
    } else {
        (0, 0)
    };
    Ok(Entry {
        link: parsed
            .link_target
            .as_ref()
            .map(|target| target.to_vec())
            .unwrap_or_default(),
        kind,
        permissions: parsed.mode & 0o7777,
        uid: number(parsed.uid)?,
        gid: number(parsed.gid)?,
        xattrs: xattrs(parsed).map_err(problem)?,
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
        EntryType::Char => EntryKind::Other("character device"),
        EntryType::Block => EntryKind::Other("block device"),
        EntryType::Fifo => EntryKind::Other("fifo"),
        _ => EntryKind::Other("file of an unknown type"),
    }
}

/// Lenient parsing of times must not hide other numbers that parsers could read differently.
fn check_pax_numbers(parsed: &ParsedEntry<'_>) -> Result<(), EntryProblem> {
    let Some(pax) = parsed.pax else { return Ok(()) };
    for record in PaxExtensions::new(pax).flatten() {
        for key in ["size", "uid", "gid"] {
            let valid = || {
                record
                    .value()
                    .is_ok_and(|value| value.parse::<u64>().is_ok())
            };
            if record.key() == Ok(key) && !valid() {
                return Err(EntryProblem::BadPaxValue(key));
            }
        }
    }
    Ok(())
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

fn xattrs(parsed: &ParsedEntry<'_>) -> Result<Xattrs, EntryProblem> {
    let mut xattrs = Xattrs::new();
    if let Some(pax) = parsed.pax {
        for record in PaxExtensions::new(pax).flatten() {
            let name = record
                .key()
                .ok()
                .and_then(|key| key.strip_prefix(LIBARCHIVE_XATTR));
            if let Some(name) = name {
                let bad = || EntryProblem::BadXattr(name.to_owned());
                let value = BASE64.decode(record.value_bytes()).map_err(|_| bad())?;
                xattrs.insert(&percent_decoded(name.as_bytes()), &value);
            }
        }
    }
    for (name, value) in &parsed.xattrs {
        let valid = !name.is_empty() && name.len() <= 255 && !name.contains(&0);
        if !valid {
            return Err(EntryProblem::BadXattr(printable(name)));
        }
        xattrs.insert(&percent_decoded(name), value);
    }
    Ok(xattrs)
}

/// GNU tar and libarchive write `=` (and libarchive more) in an attribute's name as `%3D`.
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match after.get(..2).filter(|_| *first == b'%').and_then(hex) {
            Some(byte) if byte != 0 => {
                out.push(byte);
                rest = &after[2..];
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}
