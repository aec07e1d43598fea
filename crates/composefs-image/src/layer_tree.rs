//! The entries of a stored layer, laid over a tree.
//!
//! What an entry means is decided as composefs-rs does it, also where the importer of commits decides otherwise:
//! the digests of images depend on it.

use std::sync::Arc;

use composefs_format::{Attributes, Digest, File, ImageTree, Piece, Special, Stream, Timestamp};
use tar_core::parse::{ParseEvent, ParsedEntry, Parser};
use tar_core::{EntryType, HEADER_SIZE, PaxExtensions};
use tree::{Dir, Name, Node};

use crate::ImageError;
use crate::splitter::INLINE;

/// In front of the name that a whiteout removes.
const WHITEOUT: &[u8] = b".wh.";
/// Removes everything in its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Headers and what is no file must be shorter than this.
const LONGEST: usize = 64 * 1024 * 1024;

/// Lay the layer in `stream` over `root`.
///
/// # Errors
/// [`ImageError`]; then `root` has a part of the layer.
pub(crate) fn lay_over(root: &mut ImageTree, stream: &Stream) -> Result<(), ImageError> {
    let mut reader = Reader {
        root,
        buffer: Vec::new(),
        state: State::Header(HEADER_SIZE),
        parser: Parser::with_defaults(),
    };
    stream.pieces(|piece| match piece {
        Piece::Bytes(bytes) => reader.bytes(bytes),
        Piece::Object(digest) => reader.object(digest),
    })?;
    match reader.state {
        State::End => Ok(()),
        State::Header(_) if reader.buffer.is_empty() => Ok(()),
        _ => Err(ImageError::Archive("it ends in an entry".to_owned())),
    }
}

struct Reader<'t> {
    root: &'t mut ImageTree,
    buffer: Vec<u8>,
    state: State,
    parser: Parser,
}

enum State {
    /// So many bytes are needed.
    Header(usize),
    /// An entry whose content comes, and how much the archive has of it.
    Content(Box<Entry>, usize),
    /// Padding.
    Padding(usize),
    End,
}

/// The header of an entry.
struct Entry {
    path: Vec<u8>,
    kind: EntryType,
    size: u64,
    attributes: Attributes,
    link: Vec<u8>,
    device: Option<u32>,
}

impl Reader<'_> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        if matches!(self.state, State::End) {
            return Ok(());
        }
        if self.buffer.len() + bytes.len() > LONGEST {
            return Err(ImageError::Archive("an entry is too large".to_owned()));
        }
        self.buffer.extend_from_slice(bytes);
        while self.step()? {}
        Ok(())
    }

    /// Whether there was enough for a step.
    fn step(&mut self) -> Result<bool, ImageError> {
        match &self.state {
            State::Header(needed) if self.buffer.len() >= *needed && !self.buffer.is_empty() => {
                self.header()
            }
            State::Content(entry, stored) if entry.size <= INLINE || !is_file(entry.kind) => {
                let stored = *stored;
                if self.buffer.len() < stored {
                    return Ok(false);
                }
                let State::Content(entry, _) =
                    std::mem::replace(&mut self.state, State::Header(HEADER_SIZE))
                else {
                    return Ok(false);
                };
                let length = usize::try_from(entry.size).unwrap_or(usize::MAX);
                let content = self.buffer.get(..length).unwrap_or_default().to_vec();
                self.buffer.drain(..stored);
                self.add(*entry, content)?;
                Ok(true)
            }
            State::Content(entry, _) if !self.buffer.is_empty() => {
                let reason = "the content of a large file is in the stream itself";
                Err(ImageError::entry(&entry.path, reason))
            }
            State::Padding(length) if self.buffer.len() >= *length => {
                self.buffer.drain(..*length);
                self.state = State::Header(HEADER_SIZE);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn header(&mut self) -> Result<bool, ImageError> {
        let event = self.parser.parse(&self.buffer);
        let event = event.map_err(|error| ImageError::Archive(error.to_string()))?;
        let (consumed, state) = match event {
            ParseEvent::NeedData { min_bytes } => {
                let needed = min_bytes.max(self.buffer.len() + 1);
                self.state = State::Header(needed);
                return Ok(false);
            }
            ParseEvent::GlobalExtensions { consumed, .. } => (consumed, State::Header(HEADER_SIZE)),
            ParseEvent::End { .. } => {
                self.buffer = Vec::new();
                self.state = State::End;
                return Ok(false);
            }
            ParseEvent::SparseEntry { entry, .. } => {
                return Err(ImageError::entry(&entry.path, "it has holes"));
            }
            ParseEvent::Entry { consumed, entry } => {
                let stored = entry.size.next_multiple_of(512);
                let stored = usize::try_from(stored).unwrap_or(usize::MAX);
                (consumed, State::Content(Box::new(convert(&entry)?), stored))
            }
        };
        self.buffer.drain(..consumed);
        self.state = state;
        Ok(true)
    }

    fn object(&mut self, digest: &Digest) -> Result<(), ImageError> {
        let state = std::mem::replace(&mut self.state, State::End);
        let (State::Content(entry, stored), true) = (state, self.buffer.is_empty()) else {
            let reason = "an object stands where no file is";
            return Err(ImageError::Archive(reason.to_owned()));
        };
        if !is_file(entry.kind) || entry.size <= INLINE {
            return Err(ImageError::entry(&entry.path, "its content is elsewhere"));
        }
        let (path, size) = (entry.path, entry.size);
        let file = File::External {
            attributes: entry.attributes,
            size,
            object: digest.object_path(),
            digest: Some(*digest),
        };
        let padding = stored - usize::try_from(size).unwrap_or(stored);
        self.state = State::Padding(padding);
        self.put(&path, file)
    }

    fn add(&mut self, entry: Entry, content: Vec<u8>) -> Result<(), ImageError> {
        let problem = |reason| ImageError::entry(&entry.path, reason);
        let attributes = entry.attributes;
        let special = |make: fn(u32) -> Special| {
            let device = entry
                .device
                .ok_or(problem("its device number is not valid"))?;
            Ok::<_, ImageError>(make(device))
        };
        let file = match entry.kind {
            EntryType::Directory => return self.put_dir(&entry.path, attributes),
            EntryType::Regular | EntryType::Continuous if content.is_empty() => {
                File::Empty(attributes)
            }
            EntryType::Regular | EntryType::Continuous => File::Inline(attributes, content),
            EntryType::Symlink => File::Symlink(attributes, entry.link),
            EntryType::Link => return self.put_link(&entry.path, &entry.link),
            EntryType::Char => File::Special(attributes, special(Special::Character)?),
            EntryType::Block => File::Special(attributes, special(Special::Block)?),
            EntryType::Fifo => File::Special(attributes, Special::Fifo),
            _ => return Err(problem("it is of a type that is not known")),
        };
        self.put(&entry.path, file)
    }

    fn put_dir(&mut self, path: &[u8], attributes: Attributes) -> Result<(), ImageError> {
        let names = names(path)?;
        let Some((name, parents)) = names.split_last() else {
            self.root.meta = attributes;
            return Ok(());
        };
        if whiteout(self.parent(path, parents)?, name) {
            return Ok(());
        }
        let children = &mut self.parent(path, parents)?.children;
        match children.get_mut(name) {
            Some(Node::Dir(dir)) => dir.meta = attributes,
            _ => drop(children.insert(name.clone(), Node::Dir(Dir::new(attributes)))),
        }
        Ok(())
    }

    fn put(&mut self, path: &[u8], file: File) -> Result<(), ImageError> {
        let names = names(path)?;
        let Some((name, parents)) = names.split_last() else {
            return Err(ImageError::entry(path, "the root is no directory"));
        };
        let parent = self.parent(path, parents)?;
        if !whiteout(parent, name) {
            parent.children.insert(name.clone(), Node::Leaf(file));
        }
        Ok(())
    }

    /// The first one with a second name becomes one that can have several.
    fn put_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), ImageError> {
        let target = names(target)?;
        let problem = |reason| ImageError::entry(path, reason);
        let missing = || problem("it is a hard link to something that is not there");
        let (name, parents) = target.split_last().ok_or_else(missing)?;
        let parent = self.parent(path, parents)?;
        let file = match parent.children.get_mut(name) {
            Some(Node::Leaf(file)) => file,
            Some(Node::Dir(_)) => return Err(problem("it is a hard link to a directory")),
            None => return Err(missing()),
        };
        let linked = match file {
            File::Linked(linked) => Arc::clone(linked),
            file => {
                let linked = Arc::new(file.clone());
                *file = File::Linked(Arc::clone(&linked));
                linked
            }
        };
        self.put(path, File::Linked(linked))
    }

    fn parent(&mut self, path: &[u8], names: &[Name]) -> Result<&mut ImageTree, ImageError> {
        let names = names.iter().map(Name::as_bytes);
        let reason = "the directory it lies in is not there";
        self.root
            .dir_mut(names)
            .ok_or_else(|| ImageError::entry(path, reason))
    }
}

/// Whether the name takes something away, which is done then.
fn whiteout(dir: &mut ImageTree, name: &Name) -> bool {
    let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) else {
        return false;
    };
    if name.as_bytes() == OPAQUE {
        dir.children.clear();
    } else {
        dir.children.remove(hidden);
    }
    true
}

const fn is_file(kind: EntryType) -> bool {
    matches!(kind, EntryType::Regular | EntryType::Continuous)
}

fn names(path: &[u8]) -> Result<Vec<Name>, ImageError> {
    let parts = path.split(|byte| *byte == b'/');
    let parts = parts.filter(|part| !part.is_empty() && *part != b".");
    let name = |part| Name::new(part).map_err(|_| ImageError::entry(path, "its path goes up"));
    parts.map(name).collect()
}

fn convert(entry: &ParsedEntry<'_>) -> Result<Entry, ImageError> {
    let number = |number: u64| {
        let number = u32::try_from(number);
        number.map_err(|_| ImageError::entry(&entry.path, "its owner is out of range"))
    };
    let xattrs = entry.xattrs.iter();
    let mut xattrs: Vec<_> = xattrs
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect();
    // Of the same name, the last one counts.
    xattrs.reverse();
    xattrs.sort_by(|a, b| a.0.cmp(&b.0));
    xattrs.dedup_by(|a, b| a.0 == b.0);
    let device = entry.dev_major.zip(entry.dev_minor);
    Ok(Entry {
        path: entry.path.to_vec(),
        kind: entry.entry_type,
        size: entry.size,
        attributes: Attributes {
            uid: number(entry.uid)?,
            gid: number(entry.gid)?,
            permissions: entry.mode & 0o7777,
            mtime: Timestamp {
                seconds: entry.mtime,
                nanoseconds: entry.pax.map_or(0, nanoseconds),
            },
            xattrs,
        },
        link: entry.link_target.as_deref().unwrap_or_default().to_vec(),
        device: device.and_then(|(major, minor)| device_number(major, minor)),
    })
}

/// As C libraries put it together, if it fits into the 32 bits of an image.
fn device_number(major: u32, minor: u32) -> Option<u32> {
    let fits = major < 1 << 12 && minor < 1 << 20;
    fits.then_some((major & 0xfff) << 8 | minor & 0xff | (minor & 0xf_ff00) << 12)
}

/// The part of the time of modification behind the point; the first record counts.
fn nanoseconds(pax: &[u8]) -> u32 {
    let mut records = PaxExtensions::new(pax).flatten();
    let record = records.find(|record| record.key_bytes() == b"mtime");
    let value = record.as_ref().and_then(|record| record.value().ok());
    let Some((_, fraction)) = value.and_then(|value| value.split_once('.')) else {
        return 0;
    };
    let digits = fraction.get(..fraction.len().min(9)).unwrap_or_default();
    format!("{digits:0<9}").parse().unwrap_or_default()
}
