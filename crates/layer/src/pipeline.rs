//! One pass over a layer: one thread unpacks, another parses, hashes and stores.

use std::io::{self, BufRead, BufReader, Read};
use std::panic::resume_unwind;

use ostree_format::Checksum;

use crate::LayerError;
use crate::chunks::{ChunkSender, Chunks, chunks};
use crate::compression::{Compression, Unpacked};

/// What a layer may unpack to, whatever its compressed size.
const UNPACKED_BASE: u64 = 1 << 30;

/// What it may unpack to per compressed byte: deflate cannot do better than 1032.
const UNPACKED_RATIO: u64 = 1100;

/// Bytes of the blob that are read at once.
const BLOB_BUFFER: usize = 128 * 1024;

/// A layer to import.
pub struct LayerBlob<'a> {
    /// The compressed bytes. Whoever hands them in checks their digest: reading must end with an
    /// error when it does not match.
    pub bytes: Box<dyn Read + Send + 'a>,
    /// The compressed size, for the limit on the unpacked size.
    pub size: u64,
    /// What the unpacked bytes must hash to.
    pub diff_id: Option<Checksum>,
}

impl std::fmt::Debug for LayerBlob<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerBlob")
            .field("size", &self.size)
            .field("diff_id", &self.diff_id)
            .finish_non_exhaustive()
    }
}

/// Bytes that a blob of `compressed` bytes may unpack to.
pub(crate) const fn unpacked_limit(compressed: u64) -> u64 {
    UNPACKED_BASE.saturating_add(compressed.saturating_mul(UNPACKED_RATIO))
}

/// Unpack `blob` in a thread of its own, while `parse` reads the unpacked bytes.
///
/// Both see the stream to its end even if `parse` fails, because a damaged blob shows itself as a
/// malformed archive first and the error that names the cause is the one worth reporting.
pub(crate) fn run<T>(
    blob: LayerBlob<'_>,
    parse: impl FnOnce(&mut Chunks) -> Result<T, LayerError>,
) -> Result<T, LayerError> {
    let (sender, mut source) = chunks();
    let expected = blob.diff_id;
    std::thread::scope(|scope| {
        let unpacking = scope.spawn(move || unpack(blob, &sender));
        let parsed = parse(&mut source);
        if parsed
            .as_ref()
            .map_or_else(LayerError::may_be_damage, |_| true)
        {
            source.drain();
        }
        let actual = source.finish();
        let unpacked = unpacking
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic));
        match (parsed, unpacked) {
            // The parser gave up for a reason of its own, and the other thread noticed only that.
            (Err(error), _) if !error.may_be_damage() => Err(error),
            (_, Err(damage)) => Err(damage),
            // A wrong digest explains whatever else is wrong.
            (parsed, Ok(())) => has_digest(expected, actual).and(parsed),
        }
    })
}

fn has_digest(expected: Option<Checksum>, actual: Checksum) -> Result<(), LayerError> {
    match expected {
        Some(expected) if expected != actual => {
            Err(LayerError::DiffIdMismatch { expected, actual })
        }
        _ => Ok(()),
    }
}

fn unpack(blob: LayerBlob<'_>, sender: &ChunkSender) -> Result<(), LayerError> {
    let mut raw = BufReader::with_capacity(BLOB_BUFFER, blob.bytes);
    let compression = Compression::detect(raw.fill_buf().map_err(LayerError::Read)?)?;
    let mut unpacked = compression.reader(raw).map_err(LayerError::Read)?;
    let result = pump(&mut unpacked, compression, blob.size, sender);
    let complete = match result {
        Ok(complete) => complete,
        Err(error @ LayerError::Bomb { .. }) => return Err(error),
        Err(error) => {
            // A wrong digest explains whatever else is wrong.
            drain(unpacked.into_inner()).map_err(LayerError::Read)?;
            return Err(error);
        }
    };
    if !complete {
        return Ok(());
    }
    // Bytes behind the compressed stream count for the digest, too.
    drain(unpacked.into_inner()).map_err(LayerError::Read)
}

/// Move everything from `unpacked` to `sender`; whether the reader stayed until the end.
fn pump<R: BufRead>(
    unpacked: &mut Unpacked<'_, R>,
    compression: Compression,
    compressed: u64,
    sender: &ChunkSender,
) -> Result<bool, LayerError> {
    let limit = unpacked_limit(compressed);
    let mut offset = 0u64;
    loop {
        let mut buffer = sender.buffer();
        let filled = fill(unpacked, &mut buffer).map_err(|source| match compression {
            Compression::None => LayerError::Read(source),
            _ => LayerError::Decompress {
                format: compression.name(),
                offset,
                source,
            },
        })?;
        if filled == 0 {
            return Ok(true);
        }
        buffer.truncate(filled);
        offset += filled as u64;
        if offset > limit {
            return Err(LayerError::Bomb { limit, compressed });
        }
        if !sender.send(buffer) {
            return Ok(false);
        }
    }
}

/// Fill `buffer` as far as the stream goes.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn drain(raw: Option<impl Read>) -> io::Result<()> {
    raw.map_or(Ok(0), |mut raw| io::copy(&mut raw, &mut io::sink()))
        .map(drop)
}
