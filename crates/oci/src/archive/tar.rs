//! The files of a tar archive, found once and then read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::IoContext;
use tar_core::EntryType;
use tar_core::parse::{Limits, ParseError, ParseEvent, ParsedEntry, Parser};

use crate::files::{FileError, Files, OpenFile, open_regular};
use crate::limits;

/// How many links may lead from one name to another.
const LONGEST_LINK_CHAIN: usize = 8;
/// How much is read for a header at first; longer ones (PAX) ask for more.
const HEADER_READ: usize = 1024;

/// The files of a tar archive.
#[derive(Debug)]
pub(crate) struct TarFiles {
    file: Arc<File>,
    path: PathBuf,
    entries: HashMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    File {
        offset: u64,
        size: u64,
    },
    /// Another name in the archive. `docker save` writes repeated layers so.
    Link(String),
}

impl TarFiles {
    /// Opens the archive `path`, relative to `base`, and finds its files.
    pub(crate) fn open(base: BorrowedFd<'_>, path: &str) -> Result<Self, FileError> {
        let shown = Path::new(path);
        let absent = || io::Error::from(io::ErrorKind::NotFound);
        let (file, size) = match open_regular(base, path, shown)? {
            Some(opened) => opened,
            None => Err(absent()).during("open", shown)?,
        };
        refuse_compressed(&file, shown)?;
        let entries = Scan::new(&file, size, shown).run()?;
        Ok(Self {
            file: Arc::new(file),
            path: shown.to_owned(),
            entries,
        })
    }

    fn find(&self, path: &str) -> Option<(u64, u64)> {
        let mut name = path;
        for _ in 0..LONGEST_LINK_CHAIN {
            match self.entries.get(name)? {
                Entry::File { offset, size } => return Some((*offset, *size)),
                Entry::Link(target) => name = target,
            }
        }
        None
    }
}

impl Files for TarFiles {
    fn open(&self, path: &str, offset: u64) -> Result<Option<OpenFile>, FileError> {
        tracing::trace!(archive = %self.path.display(), path, "open");
        Ok(self.find(path).map(|(start, size)| OpenFile {
            size,
            reader: Box::new(Window {
                file: Arc::clone(&self.file),
                position: start + offset.min(size),
                end: start + size,
            }),
        }))
    }
}

/// A part of a file, read without moving the file's own position.
struct Window {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Read for Window {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let n = self.file.read_at(&mut buf[..len], self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}

fn refuse_compressed(file: &File, path: &Path) -> Result<(), FileError> {
    let mut magic = [0; 6];
    let n = file.read_at(&mut magic, 0).during("read", path)?;
    let known: [&[u8]; 4] = [
        &[0x1f, 0x8b],
        &[0x28, 0xb5, 0x2f, 0xfd],
        b"BZh",
        &[0xfd, b'7', b'z', b'X', b'Z', 0],
    ];
    if known.iter().any(|prefix| magic[..n].starts_with(prefix)) {
        return Err(FileError::Compressed(path.to_owned()));
    }
    Ok(())
}

/// The pass over the headers.
struct Scan<'a> {
    file: &'a File,
    size: u64,
    path: &'a Path,
    parser: Parser,
    position: u64,
    entries: HashMap<String, Entry>,
}

impl<'a> Scan<'a> {
    fn new(file: &'a File, size: u64, path: &'a Path) -> Self {
        let limits = Limits {
            max_path_len: Some(4096),
            ..Limits::default()
        };
        Self {
            file,
            size,
            path,
            parser: Parser::new(limits),
            position: 0,
            entries: HashMap::new(),
        }
    }

    fn run(mut self) -> Result<HashMap<String, Entry>, FileError> {
        let mut seen = 0;
        while self.step()? {
            seen += 1;
            if seen > limits::ARCHIVE_ENTRIES {
                return Err(FileError::TooManyEntries {
                    path: self.path.to_owned(),
                    limit: limits::ARCHIVE_ENTRIES,
                });
            }
        }
        Ok(self.entries)
    }

    /// Takes one entry in; false at the end of the archive.
    fn step(&mut self) -> Result<bool, FileError> {
        let mut header = Vec::new();
        let mut wanted = HEADER_READ;
        loop {
            self.fill(&mut header, wanted)?;
            let at_end = header.len() < wanted;
            let parsed = self.parser.parse(&header).map(Found::of);
            match parsed.map_err(|cause| self.damaged(cause))? {
                Found::End => return Ok(false),
                // Some writers leave the end marker out, or half of it.
                Found::Unfinished(_) if at_end && header.iter().all(|b| *b == 0) => {
                    return Ok(false);
                }
                Found::Unfinished(_) if at_end => {
                    let pos = self.position;
                    return Err(self.damaged(ParseError::UnexpectedEof { pos }));
                }
                Found::Unfinished(min_bytes) => wanted = min_bytes.max(wanted + 1),
                Found::Other { header, content } => return self.skip(header, content),
                Found::File { header, path, size } => {
                    let offset = self.position + header;
                    self.entries.insert(path, Entry::File { offset, size });
                    return self.skip(header, size);
                }
                Found::Link {
                    header,
                    path,
                    target,
                } => {
                    self.entries.insert(path, Entry::Link(target));
                    return self.skip(header, 0);
                }
            }
        }
    }

    /// Goes to the next header. The content in between must be there.
    fn skip(&mut self, header: u64, content: u64) -> Result<bool, FileError> {
        let start = self.position + header;
        let end = start.checked_add(content).filter(|end| *end <= self.size);
        let Some(end) = end else {
            return Err(self.damaged(ParseError::UnexpectedEof { pos: self.size }));
        };
        self.position = end.next_multiple_of(512);
        Ok(true)
    }

    /// Reads at the current position until there are `wanted` bytes or the file ends.
    fn fill(&self, header: &mut Vec<u8>, wanted: usize) -> Result<(), FileError> {
        let mut filled = header.len();
        header.resize(wanted, 0);
        while filled < wanted {
            let offset = self.position + filled as u64;
            let n = self.file.read_at(&mut header[filled..], offset);
            match n.during("read", self.path)? {
                0 => break,
                n => filled += n,
            }
        }
        header.truncate(filled);
        Ok(())
    }

    fn damaged(&self, cause: ParseError) -> FileError {
        FileError::Tar {
            path: self.path.to_owned(),
            offset: self.position,
            cause: Box::new(cause),
        }
    }
}

/// What the parser found, without its borrowed parts. `header` is the length of all header blocks.
enum Found {
    End,
    /// At least so many bytes are needed.
    Unfinished(usize),
    File {
        header: u64,
        path: String,
        size: u64,
    },
    Link {
        header: u64,
        path: String,
        target: String,
    },
    /// Something that is no part of an image.
    Other {
        header: u64,
        content: u64,
    },
}

impl Found {
    fn of(event: ParseEvent<'_>) -> Self {
        match event {
            ParseEvent::End { .. } => Self::End,
            ParseEvent::NeedData { min_bytes } => Self::Unfinished(min_bytes),
            ParseEvent::GlobalExtensions { consumed, .. } => Self::Other {
                header: consumed as u64,
                content: 0,
            },
            ParseEvent::SparseEntry {
                consumed, entry, ..
            } => Self::Other {
                header: consumed as u64,
                content: entry.size,
            },
            ParseEvent::Entry { consumed, entry } => Self::entry(consumed as u64, &entry),
        }
    }

    fn entry(header: u64, entry: &ParsedEntry<'_>) -> Self {
        Self::usable(header, entry).unwrap_or(Self::Other {
            header,
            content: entry.size,
        })
    }

    fn usable(header: u64, entry: &ParsedEntry<'_>) -> Option<Self> {
        let path = normalised("", str::from_utf8(&entry.path).ok()?)?;
        let target = || str::from_utf8(entry.link_target.as_deref()?).ok();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let link_from = match entry.entry_type {
            EntryType::Regular | EntryType::Continuous => {
                let size = entry.size;
                return Some(Self::File { header, path, size });
            }
            EntryType::Link => "",
            EntryType::Symlink => parent,
            _ => return None,
        };
        let target = normalised(link_from, target()?)?;
        Some(Self::Link {
            header,
            path,
            target,
        })
    }
}

/// The name of a file relative to the archive's root, from a path relative to `parent`; none for
/// the root itself and for what is outside.
fn normalised(parent: &str, path: &str) -> Option<String> {
    let parent = if path.starts_with('/') { "" } else { parent };
    let mut parts: Vec<&str> = Vec::new();
    for part in parent.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_and_stay_inside() {
        for (parent, path, expected) in [
            ("", "index.json", Some("index.json")),
            ("", "./blobs/sha256/x", Some("blobs/sha256/x")),
            ("", "/index.json", Some("index.json")),
            ("", "blobs/sha256/", Some("blobs/sha256")),
            ("a", "../b/layer.tar", Some("b/layer.tar")),
            ("a", "/b", Some("b")),
            ("a", "../../b", None),
            ("", "..", None),
            ("", "./", None),
        ] {
            let name = normalised(parent, path);
            assert_eq!(name.as_deref(), expected, "{parent} {path}");
        }
    }
}
