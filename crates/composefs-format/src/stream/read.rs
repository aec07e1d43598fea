//! Reading a split stream. Nothing of it is trusted.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Cursor, Read};
use std::ops::Range;

use error_class::{Classified, ErrorClass};

use super::{HEADER, MAGIC, SECTIONS};
use crate::{Algorithm, Digest};

/// Longest names together, unpacked.
const MAX_NAMES: u64 = 64 * 1024 * 1024;

/// Bytes that are handed out at once.
const PIECE: usize = 64 * 1024;

/// Why bytes are no split stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It is something else.
    #[error("this is no split stream")]
    Foreign,
    /// Its digests are of another kind.
    #[error("the split stream has digests of another kind, or a version that is not known")]
    Unsupported,
    /// It contradicts itself.
    #[error("the split stream is damaged: {0}")]
    Damaged(&'static str),
}

impl Classified for StreamError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Foreign => ErrorClass::InvalidInput,
            Self::Unsupported => ErrorClass::Unsupported,
            Self::Damaged(_) => ErrorClass::Corrupt,
        }
    }
}

/// A split stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Of which kind its content is.
    pub content: [u8; 8],
    /// Bytes of the whole, those of objects included, as the stream says.
    pub size: u64,
    /// The objects it refers to.
    pub objects: Vec<Digest>,
    /// Streams and images it refers to, by name.
    pub names: BTreeMap<String, Digest>,
    bytes: Vec<u8>,
    body: Range<usize>,
}

/// What comes next in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'s> {
    /// Bytes.
    Bytes(&'s [u8]),
    /// The content of an object.
    Object(&'s Digest),
}

impl Stream {
    /// Read what stands before the stream itself.
    ///
    /// # Errors
    /// [`StreamError`].
    pub fn from_bytes(bytes: Vec<u8>, algorithm: Algorithm) -> Result<Self, StreamError> {
        let info = section(&bytes, header(&bytes, algorithm)?)?;
        if info.len() < SECTIONS {
            return Err(StreamError::Damaged("its table is too short"));
        }
        let streams = digests(section(&bytes, range_at(info, 0)?)?, algorithm)?;
        let objects = digests(section(&bytes, range_at(info, 16)?)?, algorithm)?;
        let body = range_at(info, 32)?;
        section(&bytes, body.clone())?;
        let names = section(&bytes, range_at(info, 48)?)?;
        let names = names_of(names, &streams)?;
        let (content, size) = (array(info, 64)?, u64::from_le_bytes(array(info, 72)?));
        Ok(Self {
            content,
            size,
            objects,
            names,
            bytes,
            body,
        })
    }

    /// Hand out the stream piece by piece.
    ///
    /// # Errors
    /// The first of `take`, or [`StreamError::Damaged`].
    pub fn pieces<E: From<StreamError>>(
        &self,
        mut take: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let body = self.bytes.get(self.body.clone()).unwrap_or_default();
        let mut steps = Steps::new(decoder(body)?);
        let mut buffer = vec![0; PIECE];
        while let Some(step) = steps.next(&mut buffer)? {
            match step {
                Step::Object(index) => take(Piece::Object(object_at(&self.objects, index)?))?,
                Step::Bytes(length) => take(Piece::Bytes(&buffer[..length]))?,
            }
        }
        Ok(())
    }

    /// Hand it out to somebody who asks for one piece after the other.
    ///
    /// # Errors
    /// [`StreamError::Damaged`].
    pub fn into_parts(self) -> Result<StreamParts, StreamError> {
        let mut body = self.bytes;
        body.truncate(self.body.end);
        body.drain(..self.body.start.min(body.len()));
        let body = zstd::Decoder::with_buffer(Cursor::new(body)).map_err(unpacking)?;
        Ok(StreamParts {
            steps: Steps::new(body),
            objects: self.objects,
        })
    }
}

/// A split stream on its way, piece by piece.
pub struct StreamParts {
    steps: Steps<zstd::Decoder<'static, Cursor<Vec<u8>>>>,
    objects: Vec<Digest>,
}

/// What comes next of [`StreamParts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamPart {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The content of an object.
    Object(Digest),
}

impl std::fmt::Debug for StreamParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamParts").finish_non_exhaustive()
    }
}

impl StreamParts {
    /// What comes next; none at the end.
    ///
    /// # Errors
    /// [`StreamError::Damaged`].
    pub fn next_part(&mut self) -> Result<Option<StreamPart>, StreamError> {
        let mut buffer = vec![0; PIECE];
        let Some(step) = self.steps.next(&mut buffer)? else {
            return Ok(None);
        };
        Ok(Some(match step {
            Step::Object(index) => StreamPart::Object(*object_at(&self.objects, index)?),
            Step::Bytes(length) => {
                buffer.truncate(length);
                StreamPart::Bytes(buffer)
            }
        }))
    }
}

/// The body of a stream.
struct Steps<R: Read> {
    body: BufReader<R>,
    /// Bytes that were announced and have not come.
    left: u64,
}

/// What comes next of it: so many bytes, or the object with this number.
enum Step {
    Bytes(usize),
    Object(usize),
}

impl<R: Read> Steps<R> {
    fn new(body: R) -> Self {
        Self {
            body: BufReader::new(body),
            left: 0,
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<Option<Step>, StreamError> {
        while self.left == 0 {
            let Some(number) = next_number(&mut self.body)? else {
                return Ok(None);
            };
            if let Ok(index) = usize::try_from(number) {
                return Ok(Some(Step::Object(index)));
            }
            self.left = number.unsigned_abs();
        }
        let length = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.body
            .read_exact(&mut buffer[..length])
            .map_err(unpacking)?;
        self.left -= length as u64;
        Ok(Some(Step::Bytes(length)))
    }
}

fn object_at(objects: &[Digest], index: usize) -> Result<&Digest, StreamError> {
    let object = objects.get(index);
    object.ok_or(StreamError::Damaged("it lacks an object's digest"))
}

/// Where the table of sections stands. Writers before composefs-rs 0.4 laid the header out another way.
fn header(bytes: &[u8], algorithm: Algorithm) -> Result<Range<usize>, StreamError> {
    let header = bytes.get(..HEADER).ok_or(StreamError::Foreign)?;
    let (info, rest) = if header.starts_with(MAGIC) {
        (range_at(header, 16)?, [header[11], header[14], header[15]])
    } else if header[18..].starts_with(MAGIC) {
        (range_at(header, 0)?, [header[29], header[30], header[31]])
    } else {
        return Err(StreamError::Foreign);
    };
    if rest != [0, algorithm.number(), 12] {
        return Err(StreamError::Unsupported);
    }
    Ok(info)
}

fn array(bytes: &[u8], at: usize) -> Result<[u8; 8], StreamError> {
    let found = bytes.get(at..at + 8);
    let found = found.and_then(|found| found.try_into().ok());
    found.ok_or(StreamError::Damaged("it ends too early"))
}

fn range_at(bytes: &[u8], at: usize) -> Result<Range<usize>, StreamError> {
    let number = |at| {
        let number = u64::from_le_bytes(array(bytes, at)?);
        usize::try_from(number).map_err(|_| StreamError::Damaged("a section is too far away"))
    };
    Ok(number(at)?..number(at + 8)?)
}

fn section(bytes: &[u8], range: Range<usize>) -> Result<&[u8], StreamError> {
    let damaged = StreamError::Damaged("a section is outside of it");
    bytes.get(range).ok_or(damaged)
}

fn digests(bytes: &[u8], algorithm: Algorithm) -> Result<Vec<Digest>, StreamError> {
    let size = algorithm.digest_size();
    if !bytes.len().is_multiple_of(size) {
        return Err(StreamError::Damaged("a digest is cut"));
    }
    let damaged = |_| StreamError::Damaged("a digest is cut");
    let digests = bytes.chunks_exact(size).map(Digest::try_from);
    digests.map(|digest| digest.map_err(damaged)).collect()
}

/// `INDEX:NAME` and a zero, several times.
fn names_of(bytes: &[u8], streams: &[Digest]) -> Result<BTreeMap<String, Digest>, StreamError> {
    let mut text = String::new();
    let read = decoder(bytes)?.take(MAX_NAMES).read_to_string(&mut text);
    if read.map_err(unpacking)? as u64 == MAX_NAMES {
        return Err(StreamError::Damaged("its names are too long"));
    }
    let mut names = BTreeMap::new();
    for record in text.split_terminator('\0') {
        let damaged = StreamError::Damaged("a name stands for nothing");
        let (index, name) = record.split_once(':').ok_or(damaged.clone())?;
        let digest = index
            .parse()
            .ok()
            .and_then(|index: usize| streams.get(index));
        names.insert(name.to_owned(), *digest.ok_or(damaged)?);
    }
    Ok(names)
}

fn decoder(bytes: &[u8]) -> Result<zstd::Decoder<'static, &[u8]>, StreamError> {
    zstd::Decoder::with_buffer(bytes).map_err(unpacking)
}

fn unpacking(_: io::Error) -> StreamError {
    StreamError::Damaged("it cannot be unpacked")
}

/// The number that tells what comes next; `None` at the end.
fn next_number(body: &mut impl Read) -> Result<Option<i64>, StreamError> {
    let mut bytes = [0; 8];
    let mut filled = 0;
    while filled < bytes.len() {
        match body.read(&mut bytes[filled..]).map_err(unpacking)? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(StreamError::Damaged("it ends within a number")),
            count => filled += count,
        }
    }
    Ok(Some(i64::from_le_bytes(bytes)))
}
