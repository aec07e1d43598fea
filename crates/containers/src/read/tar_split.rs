//! Archives made again from their headers and the files that were unpacked from them.
//!
//! The headers are kept in the form of `tar-split`: JSON, one object a line, of type 1 (the content of a
//! file, by name and size) or 2 (bytes of the archive itself), gzip-compressed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::bufread::MultiGzDecoder;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::Deserialize;

/// Longest line, in bytes: what an archive has between two files, padding included.
const LONGEST_LINE: u64 = 256 << 20;
const FILE: u8 = 1;
const BYTES: u8 = 2;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(default)]
    name: String,
    /// Instead of the name, as Base64, if that is not UTF-8.
    #[serde(default)]
    name_raw: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    payload: Option<String>,
}

/// The names of the files whose content was come to, by where it stands in the archive.
type Passed = Arc<Mutex<HashMap<u64, Vec<u8>>>>;

/// The archive, as a reader.
pub(super) struct TarSplit {
    lines: BufReader<MultiGzDecoder<BufReader<File>>>,
    files: OwnedFd,
    part: Part,
    /// Bytes of the archive that were handed out.
    position: u64,
    passed: Passed,
}

/// The files of a layer whose archive is read, as far as that was.
#[derive(Debug)]
pub struct LayerFiles {
    files: OwnedFd,
    passed: Passed,
}

impl LayerFiles {
    /// The file whose content stands in the archive from `offset` on.
    #[must_use]
    pub fn file_at(&self, offset: u64) -> Option<File> {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let name = passed.get(&offset).cloned()?;
        drop(passed);
        open_below(&self.files, &name).ok()
    }
}

enum Part {
    Bytes(Cursor<Vec<u8>>),
    File {
        content: File,
        missing: u64,
        name: Vec<u8>,
    },
}

impl TarSplit {
    pub(super) fn new(headers: File, files: OwnedFd) -> io::Result<Self> {
        let mut headers = BufReader::new(headers);
        if !headers.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            return Err(malformed(&"it is not compressed by gzip"));
        }
        Ok(Self {
            lines: BufReader::new(MultiGzDecoder::new(headers)),
            files,
            part: Part::Bytes(Cursor::default()),
            position: 0,
            passed: Passed::default(),
        })
    }

    /// The files, by where they stand.
    pub(super) fn files(&self) -> io::Result<LayerFiles> {
        Ok(LayerFiles {
            files: self.files.try_clone()?,
            passed: Arc::clone(&self.passed),
        })
    }

    /// The next part; none at the end.
    fn next(&mut self) -> io::Result<Option<Part>> {
        let mut text = Vec::new();
        let mut line = self.lines.by_ref().take(LONGEST_LINE);
        line.read_until(b'\n', &mut text)?;
        if text.is_empty() {
            return Ok(None);
        }
        let line: Line = serde_json::from_slice(&text).map_err(|cause| malformed(&cause))?;
        match line.kind {
            BYTES => {
                let bytes = STANDARD.decode(line.payload.unwrap_or_default());
                let bytes = bytes.map_err(|cause| malformed(&cause))?;
                Ok(Some(Part::Bytes(Cursor::new(bytes))))
            }
            FILE if line.size == 0 => Ok(Some(Part::Bytes(Cursor::default()))),
            FILE => {
                let raw = STANDARD.decode(&line.name_raw);
                let mut name = raw.map_err(|cause| malformed(&cause))?;
                if name.is_empty() {
                    name = line.name.into_bytes();
                }
                let content = open_below(&self.files, &name)?;
                let missing = line.size;
                let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
                passed.insert(self.position, name.clone());
                drop(passed);
                Ok(Some(Part::File {
                    content,
                    missing,
                    name,
                }))
            }
            other => Err(malformed(&format!("there is no type {other}"))),
        }
    }
}

/// Links on the way to a file stay inside of the layer.
fn open_below(files: &OwnedFd, name: &[u8]) -> io::Result<File> {
    let failed = |error: rustix::io::Errno| {
        let name = String::from_utf8_lossy(name);
        io::Error::new(
            error.kind(),
            format!("cannot open {name:?} of the layer: {error}"),
        )
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = rustix::fs::openat2(files, name, flags, Mode::empty(), inside);
    let file = File::from(file.map_err(failed)?);
    if !file.metadata()?.is_file() {
        return Err(failed(rustix::io::Errno::INVAL));
    }
    Ok(file)
}

impl Read for TarSplit {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.part.read(buffer)?;
            if count > 0 {
                self.position += count as u64;
                return Ok(count);
            }
            match self.next()? {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
    }
}

impl Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => bytes.read(buffer),
            Self::File { missing: 0, .. } => Ok(0),
            Self::File {
                content,
                missing,
                name,
            } => {
                let count = content.take(*missing).read(buffer)?;
                if count == 0 {
                    let name = String::from_utf8_lossy(name);
                    let text = format!("file {name:?} of the layer is shorter than it was");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
                *missing -= count as u64;
                Ok(count)
            }
        }
    }
}

fn malformed(cause: &dyn std::fmt::Display) -> io::Error {
    let text = format!("what is kept of the layer's archive is malformed: {cause}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}
