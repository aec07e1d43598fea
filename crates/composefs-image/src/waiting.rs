//! A split stream some of whose objects wait for their names: those of small files are computed together.

use std::io;

use composefs_format::{Algorithm, Digest, StreamWriter, VerityHasher};
use ostree_format::Checksum;

/// Files up to this many bytes wait for others.
pub(crate) const SMALL: u64 = 64 * 1024;

/// Files that wait, and bytes that are held for them, at most.
const MAX_FILES: usize = 16;
const MAX_BYTES: usize = 512 * 1024;

/// Files that are stored elsewhere, and the names they are to have here.
pub(crate) type Shared = Vec<(Checksum, Digest)>;

/// Writes a split stream in order, once what comes first has its name.
#[derive(Debug)]
pub(crate) struct WaitingStream {
    algorithm: Algorithm,
    stream: StreamWriter,
    waiting: Vec<Step>,
    files: usize,
    held: usize,
    last: Last,
    shared: Shared,
}

/// The content of the entry that came last.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// It stays in the stream.
    Stays,
    /// It is an object.
    Object(Digest),
    /// It waits.
    Waits,
}

/// What comes next in the stream.
#[derive(Debug)]
enum Step {
    Bytes(Vec<u8>),
    File(Vec<u8>, Option<Checksum>),
}

impl WaitingStream {
    /// A stream in which nothing waits.
    pub(crate) const fn new(algorithm: Algorithm, stream: StreamWriter) -> Self {
        Self {
            algorithm,
            stream,
            waiting: Vec::new(),
            files: 0,
            held: 0,
            last: Last::Stays,
            shared: Vec::new(),
        }
    }

    /// The next bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.waiting.last_mut() {
            None => return self.stream.bytes(bytes),
            Some(Step::Bytes(held)) => held.extend_from_slice(bytes),
            Some(Step::File(..)) => self.waiting.push(Step::Bytes(bytes.to_vec())),
        }
        self.held += bytes.len();
    }

    /// The next entry begins: readers want nothing in one piece across this place.
    ///
    /// # Errors
    /// What the compressor said.
    pub(crate) fn next_entry(&mut self) -> io::Result<()> {
        self.last = Last::Stays;
        if self.files >= MAX_FILES || self.held >= MAX_BYTES {
            self.resolve()?;
        }
        match self.waiting.is_empty() {
            true => self.stream.may_cut(),
            false => Ok(()),
        }
    }

    /// The next bytes are those of this object.
    ///
    /// # Errors
    /// What the compressor said.
    pub(crate) fn object(&mut self, digest: Digest, size: u64) -> io::Result<()> {
        self.resolve()?;
        self.last = Last::Object(digest);
        self.stream.object(digest, size)
    }

    /// The next bytes are those of a small file.
    pub(crate) fn file(&mut self, content: Vec<u8>) {
        self.last = Last::Waits;
        self.files += 1;
        self.held += content.len();
        self.waiting.push(Step::File(content, None));
    }

    /// The content that came last is stored elsewhere; what stays in the stream needs no other place.
    pub(crate) fn is_shared(&mut self, object: Checksum) {
        match self.last {
            Last::Stays => {}
            Last::Object(digest) => self.shared.push((object, digest)),
            Last::Waits => {
                let mut latest = self.waiting.iter_mut().rev();
                let latest = latest.find_map(|step| match step {
                    Step::File(_, shared) => Some(shared),
                    Step::Bytes(_) => None,
                });
                if let Some(shared) = latest {
                    *shared = Some(object);
                }
            }
        }
    }

    /// The whole stream, and the files that are stored elsewhere.
    ///
    /// # Errors
    /// What the compressor said.
    pub(crate) fn finish(mut self) -> io::Result<(Vec<u8>, Shared)> {
        self.resolve()?;
        Ok((self.stream.finish()?, self.shared))
    }

    /// Lets nothing wait any more.
    fn resolve(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        (self.files, self.held) = (0, 0);
        let contents = waiting.iter().filter_map(|step| match step {
            Step::File(content, _) => Some(content.as_slice()),
            Step::Bytes(_) => None,
        });
        let contents: Vec<&[u8]> = contents.collect();
        let mut digests = VerityHasher::digests(self.algorithm, &contents).into_iter();
        for step in &waiting {
            match step {
                Step::Bytes(bytes) => self.stream.bytes(bytes),
                Step::File(content, shared) => {
                    let Some(digest) = digests.next() else { break };
                    self.stream.object(digest, content.len() as u64)?;
                    self.shared.extend(shared.map(|object| (object, digest)));
                }
            }
        }
        Ok(())
    }
}
