//! The entries of a tar archive, out of a stream of buffers.

use ostree_format::{Checksum, Hasher};
use tar_core::EntryType;
use tar_core::parse::{Limits, ParseError, ParseEvent, Parser};

use crate::chunks::Chunks;
use crate::entry::{Entry, EntryKind, convert};
use crate::error::{LayerError, printable};
use crate::pax;
use crate::pipeline::unpacked_limit;
use crate::tap::{Content, Tap};

/// GNU tar's name of the whole archive.
const VOLUME_LABEL: EntryType = EntryType::Other(b'V');

/// Bytes of a tar block.
const BLOCK: u64 = 512;

/// Entries in one layer: a bound on memory, some thirty times what a large operating system has.
pub(crate) const MAX_ENTRIES: usize = 2_000_000;

/// Longest path or link target in an archive, in bytes: the kernel's `PATH_MAX`.
const MAX_PATH: u32 = 4096;

/// Largest extended header: attributes of one file are at most 64 KiB each.
const MAX_EXTENDED_HEADER: u32 = 1024 * 1024;

/// Reads entries one after the other. After each, its content must be taken with
/// [`Entries::content`] or passed over with [`Entries::skip`].
pub(crate) struct Entries<'c> {
    source: &'c mut Chunks,
    parser: Parser,
    count: usize,
    /// Compressed size of the layer, which limits what it may unpack to.
    compressed: u64,
    /// Bytes of sparse files, holes included.
    sparse: u64,
    tap: Option<&'c mut (dyn Tap + 'c)>,
    /// Whether the content that comes next is stored by somebody else.
    is_stored: bool,
}

impl<'c> Entries<'c> {
    /// Whoever sees the archive pass by is `tap`.
    pub(crate) fn new<'t: 'c>(
        source: &'c mut Chunks,
        compressed: u64,
        tap: Option<&'c mut (dyn Tap + 't)>,
    ) -> Self {
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
            compressed,
            sparse: 0,
            tap: tap.map(|tap| -> &'c mut (dyn Tap + 'c) { tap }),
            is_stored: false,
        }
    }

    /// The next entry, or `None` at the end of the archive.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut wanted = usize::try_from(BLOCK).unwrap_or(512);
        loop {
            let offset = self.source.offset();
            let input = self.source.peek_at_least(wanted);
            // One empty block ends an archive, and some writers leave out even that.
            if input.is_empty()
                || input
                    .get(..512)
                    .is_some_and(|block| block.iter().all(|b| *b == 0))
            {
                return self.end().map(|()| None);
            }
            let short = input.len() < wanted;
            match parse(&mut self.parser, input).map_err(|e| malformed(offset, e))? {
                Parsed::Entry(consumed, entry) => {
                    let entry = entry?;
                    if let Some(tap) = &mut self.tap {
                        tap.header(&input[..consumed]).map_err(LayerError::Tap)?;
                        tap.entry(&entry)
                            .map_err(|error| LayerError::Tap(error.in_entry(&entry.path)))?;
                    }
                    self.source.consume(consumed);
                    return self.counted(entry).map(Some);
                }
                Parsed::Skip(consumed) => {
                    if let Some(tap) = &mut self.tap {
                        tap.header(&input[..consumed]).map_err(LayerError::Tap)?;
                    }
                    self.source.consume(consumed);
                    wanted = 512;
                }
                Parsed::GlobalHeader(key) => return Err(LayerError::GlobalHeader { offset, key }),
                Parsed::End => return self.end().map(|()| None),
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

    /// What stands behind the last entry is of interest only to those who want the archive itself.
    fn end(&mut self) -> Result<(), LayerError> {
        let Some(tap) = &mut self.tap else {
            return Ok(());
        };
        let padding = |piece: &[u8]| tap.padding(piece).map_err(LayerError::Tap);
        self.source.copy(u64::MAX, None, padding).map(drop)
    }

    /// Says that the content of the entry is stored, so that no other store needs bytes of its own.
    pub(crate) fn stores_next(&mut self) {
        self.is_stored = true;
    }

    /// Says what the content that came last is stored as.
    pub(crate) fn stored(&mut self, object: Checksum) {
        if let Some(tap) = &mut self.tap {
            tap.stored(object);
        }
    }

    fn announce(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let is_stored = std::mem::take(&mut self.is_stored);
        let Some(tap) = &mut self.tap else {
            return Ok(());
        };
        let content = match (entry.kind, &entry.regions) {
            (EntryKind::File, None) if entry.is_plain => Content::File { is_stored },
            (EntryKind::File, Some(_)) => Content::Sparse,
            _ => Content::Other,
        };
        tap.begin(content, entry.stored)
            .map_err(|error| LayerError::Tap(error.in_entry(&entry.path)))
    }

    /// Check the limits on the whole archive.
    fn counted(&mut self, entry: Entry) -> Result<Entry, LayerError> {
        self.count += 1;
        if self.count > MAX_ENTRIES {
            return Err(LayerError::TooManyEntries(MAX_ENTRIES));
        }
        if entry.regions.is_some() {
            self.sparse = self.sparse.saturating_add(entry.size);
        }
        let (limit, compressed) = (unpacked_limit(self.compressed), self.compressed);
        if self.sparse > limit {
            Err(LayerError::Bomb { limit, compressed })
        } else {
            Ok(entry)
        }
    }

    /// The whole content of a small entry, and what it makes of `hasher`: handed over where it lies, if it lies in one
    /// piece.
    pub(crate) fn small_content<T>(
        &mut self,
        entry: &Entry,
        mut hasher: Hasher,
        scratch: &mut Vec<u8>,
        take: impl FnOnce(&[u8], Checksum) -> Result<T, LayerError>,
    ) -> Result<T, LayerError> {
        let length = usize::try_from(entry.stored).unwrap_or(usize::MAX);
        let result = if entry.regions.is_none() && self.source.peek().len() >= length {
            self.announce(entry)?;
            self.source.digest(length, &mut hasher);
            let content = &self.source.peek()[..length];
            if let Some(tap) = &mut self.tap {
                tap.content(content).map_err(LayerError::Tap)?;
            }
            let result = take(content, hasher.finish())?;
            self.source.consume(length);
            result
        } else {
            scratch.clear();
            self.content(entry, &mut hasher, |piece| {
                scratch.extend_from_slice(piece);
                Ok(())
            })?;
            return take(scratch, hasher.finish());
        };
        self.pass_padding(entry)?;
        Ok(result)
    }

    /// Hand the content over piece by piece, holes filled with zeros, each of which goes into `hasher` first.
    pub(crate) fn content(
        &mut self,
        entry: &Entry,
        hasher: &mut Hasher,
        mut take: impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        self.announce(entry)?;
        match &entry.regions {
            None => self.copy(entry, entry.stored, Some(hasher), &mut take)?,
            Some(regions) => {
                let mut at = 0;
                for (offset, length) in regions {
                    zeros(offset - at, hasher, &mut take)?;
                    self.copy(entry, *length, Some(hasher), &mut take)?;
                    at = offset + length;
                }
                zeros(entry.size - at, hasher, &mut take)?;
            }
        }
        self.pass_padding(entry)
    }

    /// Pass over the content.
    pub(crate) fn skip(&mut self, entry: &Entry) -> Result<(), LayerError> {
        self.announce(entry)?;
        self.copy(entry, entry.stored, None, &mut |_| Ok(()))?;
        self.pass_padding(entry)
    }

    fn copy(
        &mut self,
        entry: &Entry,
        count: u64,
        hasher: Option<&mut Hasher>,
        take: &mut impl FnMut(&[u8]) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        let missing = match &mut self.tap {
            None => self.source.copy(count, hasher, take)?,
            Some(tap) => self.source.copy(count, hasher, |piece| {
                tap.content(piece).map_err(LayerError::Tap)?;
                take(piece)
            })?,
        };
        match missing {
            0 => Ok(()),
            _ => Err(self.truncated(entry)),
        }
    }

    fn pass_padding(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let padding = entry.stored.next_multiple_of(BLOCK) - entry.stored;
        let missing = match &mut self.tap {
            None => self
                .source
                .copy(padding, None, |_| Ok::<_, LayerError>(()))?,
            Some(tap) => {
                tap.end().map_err(LayerError::Tap)?;
                let pass = |piece: &[u8]| tap.padding(piece).map_err(LayerError::Tap);
                self.source.copy(padding, None, pass)?
            }
        };
        match missing {
            0 => Ok(()),
            _ => Err(self.truncated(entry)),
        }
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
    hasher: &mut Hasher,
    take: &mut impl FnMut(&[u8]) -> Result<(), LayerError>,
) -> Result<(), LayerError> {
    const ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];
    while count > 0 {
        let length = usize::try_from(count).map_or(ZEROS.len(), |count| count.min(ZEROS.len()));
        hasher.update(&ZEROS[..length]);
        take(&ZEROS[..length])?;
        count -= length as u64;
    }
    Ok(())
}

enum Parsed {
    Entry(usize, Result<Entry, LayerError>),
    /// A global extended header or a volume label: says nothing that a layer's meaning depends on.
    Skip(usize),
    /// A global extended header that would change the entries behind it.
    GlobalHeader(String),
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
        ParseEvent::GlobalExtensions { consumed, pax_data } => match changing_key(pax_data) {
            Some(key) => Parsed::GlobalHeader(key),
            None => Parsed::Skip(consumed),
        },
        ParseEvent::End { .. } => Parsed::End,
        ParseEvent::Entry { consumed, entry } if entry.entry_type == VOLUME_LABEL => {
            Parsed::Skip(consumed)
        }
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

/// The first key of a global header that would change entries; malformed records count as one.
fn changing_key(bytes: &[u8]) -> Option<String> {
    const KEYS: [&str; 5] = ["path", "linkpath", "size", "uid", "gid"];
    const PREFIXES: [&str; 3] = ["SCHILY.xattr.", "LIBARCHIVE.xattr.", "GNU.sparse."];
    let Ok(records) = pax::records(bytes) else {
        return Some("a malformed record".to_owned());
    };
    let changes =
        |key: &&str| KEYS.contains(key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    records
        .into_iter()
        .map(|(key, _)| key)
        .find(changes)
        .map(ToOwned::to_owned)
}

fn malformed(offset: u64, source: ParseError) -> LayerError {
    LayerError::Tar {
        offset,
        source: Box::new(source),
    }
}
