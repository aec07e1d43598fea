//! What is kept of an archive so that it can be made again: `tar-split`, JSON lines in gzip.
//!
//! Source of the format: what the library `tar-split` writes for `podman` (see `read/tar_split.rs`). Each header stands
//! in a line of its own, together with the padding before it, as programs expect that read headers only.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

/// Bytes of the archive in one line at most, where a line may end.
const LINE: usize = 1 << 20;

/// The headers of one archive, being written.
#[derive(Debug)]
pub(super) struct SplitWriter {
    out: GzEncoder<BufWriter<File>>,
    bytes: Vec<u8>,
    position: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    payload: String,
    position: u64,
}

impl SplitWriter {
    pub(super) fn new(file: File) -> Self {
        Self {
            out: GzEncoder::new(BufWriter::new(file), Compression::fast()),
            bytes: Vec::new(),
            position: 0,
        }
    }

    /// Bytes of the archive that are in no file.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > LINE {
            self.end_line()?;
        }
        Ok(())
    }

    /// The header is complete.
    pub(super) fn end_line(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let payload = STANDARD.encode(&self.bytes);
        self.bytes.clear();
        self.line(2, None, None, payload)
    }

    /// The content of a file, which is stored by this name.
    pub(super) fn file(&mut self, name: &[u8], size: u64, checksum: [u8; 8]) -> io::Result<()> {
        self.end_line()?;
        self.line(1, Some(name), Some(size), STANDARD.encode(checksum))
    }

    fn line(
        &mut self,
        kind: u8,
        name: Option<&[u8]>,
        size: Option<u64>,
        payload: String,
    ) -> io::Result<()> {
        let text = name.and_then(|name| std::str::from_utf8(name).ok());
        let raw = name.filter(|_| text.is_none());
        let line = Line {
            kind,
            name: text,
            name_raw: raw.map(|name| STANDARD.encode(name)),
            size,
            payload,
            position: self.position,
        };
        self.position += 1;
        serde_json::to_writer(&mut self.out, &line)?;
        self.out.write_all(b"\n")
    }

    /// Everything has been written; nothing is synced.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.end_line()?;
        let out = self.out.finish()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(())
    }
}
