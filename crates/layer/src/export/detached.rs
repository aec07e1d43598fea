//! Replacing the detached metadata in the first layer of an encapsulated commit: everything else goes
//! through as it is, block by block.

use std::io::{self, Read, Write};

use error_class::{Classified, ErrorClass};

use super::tar::TarWriter;
use crate::{Compression, LayerError, REPO_PREFIX};

const BLOCK: usize = 512;

/// Names and attributes of an entry come before its header; they are held until it is known which entry
/// that is.
const MAX_EXTENSION: u64 = 1024 * 1024;

/// Why detached metadata was not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetachedError {
    /// The layer cannot be read.
    #[error("cannot read the layer: {0}")]
    Read(#[source] io::Error),
    /// The layer is compressed in a way that is not supported.
    #[error(transparent)]
    Layer(#[from] Box<LayerError>),
    /// The layer is no archive of the expected form.
    #[error("the layer is malformed at offset {0}")]
    Malformed(u64),
    /// There is no commit.
    #[error(
        "the layer holds no commit object, which the first layer of an encapsulated image must"
    )]
    NoCommit,
    /// The new layer cannot be written.
    #[error("cannot write the layer: {0}")]
    Write(#[source] io::Error),
}

impl Classified for DetachedError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) | Self::Write(error) => error.class(),
            Self::Layer(error) => error.class(),
            Self::Malformed(_) => ErrorClass::Corrupt,
            Self::NoCommit => ErrorClass::InvalidInput,
        }
    }
}

/// Copy the compressed layer `blob`, unpacked, to `out`, with `detached` as the metadata of its commit, or
/// without any.
///
/// # Errors
/// [`DetachedError`]; what was written so far is no archive.
pub fn replace_detached(
    blob: impl Read,
    detached: Option<&[u8]>,
    out: impl Write,
) -> Result<(), DetachedError> {
    let mut raw = io::BufReader::with_capacity(128 * 1024, blob);
    let head = io::BufRead::fill_buf(&mut raw).map_err(DetachedError::Read)?;
    let compression = Compression::detect(head).map_err(Box::new)?;
    let unpacked = compression.reader(raw).map_err(DetachedError::Read)?;
    let mut filter = Filter {
        source: unpacked,
        out,
        offset: 0,
        found: false,
    };
    while filter.entry(detached)? {}
    if filter.found {
        filter.rest()
    } else {
        Err(DetachedError::NoCommit)
    }
}

struct Filter<R, W> {
    source: R,
    out: W,
    offset: u64,
    found: bool,
}

impl<R: Read, W: Write> Filter<R, W> {
    /// Pass one entry on, with what belongs to it; whether there may be another.
    fn entry(&mut self, detached: Option<&[u8]>) -> Result<bool, DetachedError> {
        let mut held = Vec::new();
        let mut long_name = None;
        loop {
            let Some(header) = self.block()? else {
                self.write(&held)?;
                return Ok(false);
            };
            if header.iter().all(|byte| *byte == 0) {
                held.extend_from_slice(&header);
                self.write(&held)?;
                return Ok(false);
            }
            let size = size_of(&header).ok_or(DetachedError::Malformed(self.offset))?;
            held.extend_from_slice(&header);
            if !matches!(header[156], b'L' | b'K' | b'x') {
                let path = long_name.unwrap_or_else(|| text(&header[..100]));
                return self.main(&path, &held, size, detached).map(|()| true);
            }
            let content = self.held(size)?;
            if header[156] == b'L' {
                long_name = Some(text(&content));
            }
            held.extend_from_slice(&content);
        }
    }

    fn main(
        &mut self,
        path: &str,
        held: &[u8],
        size: u64,
        detached: Option<&[u8]>,
    ) -> Result<(), DetachedError> {
        let object = path.trim_start_matches("./").strip_prefix(REPO_PREFIX);
        if object.is_some_and(|object| object.ends_with(".commitmeta")) {
            return self.content(size, false);
        }
        self.write(held)?;
        self.content(size, true)?;
        if object.is_some_and(|object| object.ends_with(".commit")) && !self.found {
            self.found = true;
            if let Some(bytes) = detached {
                let path = format!("{path}meta");
                let mut tar = TarWriter::new(&mut self.out);
                tar.file(&path, bytes).map_err(DetachedError::Write)?;
            }
        }
        Ok(())
    }

    /// The next block, or nothing at the end.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, DetachedError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(DetachedError::Malformed(self.offset)),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DetachedError::Read(error)),
            }
        }
        self.offset += BLOCK as u64;
        Ok(Some(block))
    }

    fn held(&mut self, size: u64) -> Result<Vec<u8>, DetachedError> {
        if size > MAX_EXTENSION {
            return Err(DetachedError::Malformed(self.offset));
        }
        let mut content = Vec::new();
        for _ in 0..size.div_ceil(BLOCK as u64) {
            let block = self.block()?;
            content.extend_from_slice(&block.ok_or(DetachedError::Malformed(self.offset))?);
        }
        Ok(content)
    }

    /// Pass the content of an entry on, or over.
    fn content(&mut self, size: u64, keep: bool) -> Result<(), DetachedError> {
        for _ in 0..size.div_ceil(BLOCK as u64) {
            let block = self.block()?;
            let block = block.ok_or(DetachedError::Malformed(self.offset))?;
            if keep {
                self.write(&block)?;
            }
        }
        Ok(())
    }

    /// Whatever comes behind the last entry.
    fn rest(&mut self) -> Result<(), DetachedError> {
        while let Some(block) = self.block()? {
            self.write(&block)?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DetachedError> {
        self.out.write_all(bytes).map_err(DetachedError::Write)
    }
}

/// The size in a header: octal digits, or GNU's binary form.
fn size_of(header: &[u8; BLOCK]) -> Option<u64> {
    let field = &header[124..136];
    if field[0] & 0x80 != 0 {
        let bytes = field[4..].try_into().ok()?;
        return Some(u64::from_be_bytes(bytes));
    }
    let digits = text(field);
    u64::from_str_radix(digits.trim(), 8).ok()
}

/// Up to the first NUL.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&field[..end.unwrap_or(field.len())]).into_owned()
}
