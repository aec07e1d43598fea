//! Split streams: a stream of bytes of which files are kept elsewhere, as objects.
//!
//! Source of the format: `splitstream.rs` of composefs-rs 0.9.4. A header, a table of sections, the digests of
//! streams and objects that are referred to, the names of the former, and the stream itself, the latter two
//! compressed with Zstandard. In the stream, a negative number announces so many bytes, any other one stands for
//! the content of the object with that index.

mod read;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};

use crate::{Algorithm, Digest};

pub use read::{Piece, Stream, StreamError, StreamPart, StreamParts};

/// At the beginning.
const MAGIC: &[u8; 11] = b"SplitStream";

/// Bytes of the header and of the table of sections behind it.
const HEADER: usize = 32;
const SECTIONS: usize = 80;

/// Bytes that are announced at once at most, where the stream may be cut.
const LONGEST_RUN: usize = 16 * 1024 * 1024;

/// Writes a split stream.
pub struct StreamWriter {
    algorithm: Algorithm,
    content: [u8; 8],
    objects: References,
    streams: References,
    names: BTreeMap<String, usize>,
    size: u64,
    run: Vec<u8>,
    body: zstd::Encoder<'static, Vec<u8>>,
}

impl std::fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWriter")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Digests, each once, in the order in which they came.
#[derive(Debug, Default)]
struct References {
    digests: Vec<Digest>,
    index: HashMap<Digest, usize>,
}

impl References {
    fn add(&mut self, digest: Digest) -> usize {
        *self.index.entry(digest).or_insert_with(|| {
            self.digests.push(digest);
            self.digests.len() - 1
        })
    }
}

impl StreamWriter {
    /// An empty stream, whose content is of the kind `content`.
    ///
    /// # Errors
    /// What the compressor said.
    pub fn new(algorithm: Algorithm, content: [u8; 8]) -> io::Result<Self> {
        Ok(Self {
            algorithm,
            content,
            objects: References::default(),
            streams: References::default(),
            names: BTreeMap::new(),
            size: 0,
            run: Vec::new(),
            body: zstd::Encoder::new(Vec::new(), 0)?,
        })
    }

    /// Give another stream or an image a name in this one, which thereby needs it.
    pub fn refer(&mut self, name: &str, digest: Digest) {
        let index = self.streams.add(digest);
        self.names.insert(name.to_owned(), index);
    }

    /// The next bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.run.extend_from_slice(bytes);
    }

    /// The next bytes are those of an object, `size` of them.
    ///
    /// # Errors
    /// What the compressor said.
    pub fn object(&mut self, digest: Digest, size: u64) -> io::Result<()> {
        self.end_run()?;
        self.size += size;
        let index = self.objects.add(digest) as i64;
        self.body.write_all(&index.to_le_bytes())
    }

    /// Says that readers want nothing in one piece across this place, so that memory can be freed here.
    ///
    /// # Errors
    /// What the compressor said.
    pub fn may_cut(&mut self) -> io::Result<()> {
        if self.run.len() < LONGEST_RUN {
            return Ok(());
        }
        self.end_run()
    }

    fn end_run(&mut self) -> io::Result<()> {
        if self.run.is_empty() {
            return Ok(());
        }
        let announced = -(self.run.len() as i64);
        self.body.write_all(&announced.to_le_bytes())?;
        self.body.write_all(&self.run)?;
        self.run.clear();
        Ok(())
    }

    /// The whole.
    ///
    /// # Errors
    /// What the compressor said.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        self.end_run()?;
        let body = self.body.finish()?;
        let mut names = zstd::Encoder::new(Vec::new(), 0)?;
        for (name, index) in &self.names {
            write!(names, "{index}:{name}\0")?;
        }
        let joined = |references: &References| -> Vec<u8> {
            let bytes = references.digests.iter().map(Digest::as_bytes);
            bytes.collect::<Vec<_>>().concat()
        };
        let (streams, objects) = (joined(&self.streams), joined(&self.objects));
        let names = names.finish()?;
        let mut ends = vec![HEADER, HEADER + SECTIONS];
        for section in [&streams, &objects, &names, &body] {
            let last = ends.last().copied().unwrap_or_default();
            ends.push(last + section.len());
        }
        let range = |start: usize, end: usize| {
            [(start as u64).to_le_bytes(), (end as u64).to_le_bytes()].concat()
        };
        let mut out = Vec::with_capacity(ends.last().copied().unwrap_or_default());
        out.extend_from_slice(MAGIC);
        // Version; flags, of which there are none; algorithm; logarithm of the size of blocks.
        out.extend_from_slice(&[0, 0, 0, self.algorithm.number(), 12]);
        out.extend(range(ends[0], ends[1]));
        out.extend(range(ends[1], ends[2]));
        out.extend(range(ends[2], ends[3]));
        // The stream stands last, but is told before the names.
        out.extend(range(ends[4], ends[5]));
        out.extend(range(ends[3], ends[4]));
        out.extend_from_slice(&self.content);
        out.extend_from_slice(&self.size.to_le_bytes());
        for section in [streams, objects, names, body] {
            out.extend(section);
        }
        Ok(out)
    }
}
