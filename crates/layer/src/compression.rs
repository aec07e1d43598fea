//! How a layer blob is compressed.

use std::io::{self, BufRead, Read};

use crate::LayerError;
use crate::gzip::Gunzip;

/// Largest zstd window that is accepted, as a power of two: 128 MiB is what `zstd --long` uses and
/// more than any image builder does; the memory of a pull depends on it.
const MAX_WINDOW_LOG: u32 = 27;

/// How a layer blob is compressed. Found by looking at the blob, since media types lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar archive.
    None,
    /// gzip (RFC 1952), possibly of several members.
    Gzip,
    /// zstd (RFC 8878), possibly of several frames; also `zstd:chunked`.
    Zstd,
}

impl Compression {
    /// The name used in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Look at the beginning of a blob.
    ///
    /// # Errors
    /// [`LayerError::UnsupportedCompression`] for bzip2 and xz.
    pub fn detect(head: &[u8]) -> Result<Self, LayerError> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            // A skippable frame, with which zstd streams may begin.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [b'B', b'Z', b'h', ..] => Err(LayerError::UnsupportedCompression("bzip2")),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Err(LayerError::UnsupportedCompression("xz")),
            _ => Ok(Self::None),
        }
    }

    /// A reader of the unpacked bytes.
    pub(crate) fn reader<'a, R: BufRead + 'a>(self, blob: R) -> io::Result<Unpacked<'a, R>> {
        Ok(match self {
            Self::None => Unpacked::Plain(blob),
            Self::Gzip => Unpacked::Gzip(Box::new(Gunzip::new(blob))),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(blob)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Unpacked::Zstd(Box::new(decoder))
            }
        })
    }
}

/// The unpacked bytes of a blob.
pub(crate) enum Unpacked<'a, R> {
    Plain(R),
    Gzip(Box<Gunzip<R>>),
    Zstd(Box<zstd::stream::read::Decoder<'a, R>>),
}

impl<R: BufRead> Unpacked<'_, R> {
    /// The blob itself, wherever reading has come to, if it can be read on.
    pub(crate) fn into_inner(self) -> Option<R> {
        match self {
            Self::Plain(blob) => Some(blob),
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => Some(decoder.finish()),
        }
    }
}

impl<R: BufRead> Read for Unpacked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(blob) => blob.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
