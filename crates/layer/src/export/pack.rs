//! Compressing layers on all processors, with the same result on any number of them.
//!
//! The stream is cut into blocks of a fixed size, each of which is compressed by itself. For gzip they are
//! parts of one deflate stream, ended by an empty stored block (RFC 1951, section 3.2.4); for zstd they
//! are frames (RFC 8878, section 3.1). Every decoder reads the result as one stream.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use flate2::{Compress, FlushCompress, Status};
use ostree_format::{Checksum, Hasher};

/// Large enough that what a block cannot know of the one before it costs less than one percent.
const GZIP_BLOCK: usize = 1024 * 1024;
const ZSTD_BLOCK: usize = 4 * 1024 * 1024;

/// RFC 1952: deflate, no name, no time, unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip, at a level from 0 to 9.
    Gzip(u32),
    /// zstd, at a level from 1 to 22.
    Zstd(i32),
}

impl Packing {
    /// gzip, as small as usual.
    pub const GZIP: Self = Self::Gzip(6);
    /// gzip, as fast as possible.
    pub const GZIP_FAST: Self = Self::Gzip(1);
    /// zstd, as small as usual.
    pub const ZSTD: Self = Self::Zstd(3);

    const fn block(self) -> usize {
        match self {
            Self::Plain | Self::Gzip(_) => GZIP_BLOCK,
            Self::Zstd(_) => ZSTD_BLOCK,
        }
    }

    fn compress(self, block: &[u8], last: bool) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain => Ok(block.to_vec()),
            Self::Zstd(level) => zstd::bulk::compress(block, level),
            Self::Gzip(level) => deflate(block, level, last),
        }
    }
}

/// A part of a deflate stream. The stream is asked for more until it leaves room: what it holds back
/// otherwise is lost.
fn deflate(block: &[u8], level: u32, last: bool) -> io::Result<Vec<u8>> {
    const ROOM: usize = 64 * 1024;
    let flush = match last {
        true => FlushCompress::Finish,
        false => FlushCompress::Sync,
    };
    let mut stream = Compress::new(flate2::Compression::new(level), false);
    let mut out = Vec::with_capacity(block.len() / 2 + ROOM);
    loop {
        let consumed = usize::try_from(stream.total_in()).unwrap_or(block.len());
        let status = stream.compress_vec(&block[consumed..], &mut out, flush)?;
        let has_room = out.len() < out.capacity();
        if status == Status::StreamEnd
            || (!last && has_room && stream.total_in() == block.len() as u64)
        {
            return Ok(out);
        }
        out.reserve(ROOM);
    }
}

/// One block for a worker.
struct Job {
    packing: Packing,
    block: Vec<u8>,
    last: bool,
    reply: SyncSender<io::Result<Vec<u8>>>,
}

/// Threads that compress. Dropped, they end.
#[derive(Debug)]
pub struct Packer {
    jobs: Option<Sender<Job>>,
    workers: Vec<JoinHandle<()>>,
}

impl Packer {
    /// With this many threads, at least one.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let worker = |_| {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || work(&queue))
        };
        let workers = (0..threads.max(1)).map(worker).collect();
        Self {
            jobs: Some(jobs),
            workers,
        }
    }

    /// Begin a layer whose compressed bytes go to `out`.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn pack<W: Write>(&self, packing: Packing, mut out: W) -> io::Result<Packed<'_, W>> {
        if matches!(packing, Packing::Gzip(_)) {
            out.write_all(&GZIP_HEADER)?;
        }
        Ok(Packed {
            packer: self,
            packing,
            out,
            block: Vec::with_capacity(packing.block()),
            pending: VecDeque::new(),
            hasher: Hasher::new(),
            crc: flate2::Crc::new(),
            size: 0,
        })
    }

    fn begin(&self, job: Job) -> io::Result<()> {
        let gone = || io::Error::other("the threads that compress have ended");
        let jobs = self.jobs.as_ref().ok_or_else(gone)?;
        jobs.send(job).map_err(|_| gone())
    }
}

impl Drop for Packer {
    fn drop(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A worker has nothing to say; what it did not do was missed by whoever asked for it.
            drop(worker.join());
        }
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else {
            return;
        };
        // Nobody listens when the layer was given up.
        drop(job.reply.send(job.packing.compress(&job.block, job.last)));
    }
}

/// A layer being compressed.
#[derive(Debug)]
pub struct Packed<'p, W: Write> {
    packer: &'p Packer,
    packing: Packing,
    out: W,
    block: Vec<u8>,
    pending: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    hasher: Hasher,
    crc: flate2::Crc,
    size: u64,
}

/// What a layer was before it was compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpacked {
    /// The diff_id: SHA-256 of the archive.
    pub diff_id: Checksum,
    /// Bytes of the archive.
    pub size: u64,
}

impl<W: Write> Packed<'_, W> {
    /// End the layer; gives back what it was written to.
    ///
    /// # Errors
    /// It could not be written.
    pub fn finish(mut self) -> io::Result<(W, Unpacked)> {
        let only_frames = matches!(self.packing, Packing::Zstd(_)) && self.size > 0;
        if !self.block.is_empty() || !only_frames {
            self.submit(true)?;
        }
        while !self.pending.is_empty() {
            self.collect()?;
        }
        if let Packing::Gzip(_) = self.packing {
            self.out.write_all(&self.crc.sum().to_le_bytes())?;
            self.out.write_all(&self.crc.amount().to_le_bytes())?;
        }
        let diff_id = self.hasher.finish();
        let size = self.size;
        Ok((self.out, Unpacked { diff_id, size }))
    }

    fn submit(&mut self, last: bool) -> io::Result<()> {
        let capacity = if last { 0 } else { self.packing.block() };
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(capacity));
        let (reply, result) = sync_channel(1);
        let packing = self.packing;
        self.packer.begin(Job {
            packing,
            block,
            last,
            reply,
        })?;
        self.pending.push_back(result);
        // Enough that no thread waits, and no more.
        while self.pending.len() > 2 * self.packer.workers.len() {
            self.collect()?;
        }
        Ok(())
    }

    /// Write the oldest block that is under way.
    fn collect(&mut self) -> io::Result<()> {
        let Some(result) = self.pending.pop_front() else {
            return Ok(());
        };
        let lost = |_| io::Error::other("a thread that compresses has ended");
        let bytes = result.recv().map_err(lost)??;
        self.out.write_all(&bytes)
    }
}

impl<W: Write> Write for Packed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.packing.block() - self.block.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.block.extend_from_slice(taken);
        self.hasher.update(taken);
        self.crc.update(taken);
        self.size += taken.len() as u64;
        if self.block.len() == self.packing.block() {
            self.submit(false)?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn packed(packing: Packing, threads: usize, content: &[u8]) -> Vec<u8> {
        let packer = Packer::new(threads);
        let mut layer = packer.pack(packing, Vec::new()).unwrap();
        layer.write_all(content).unwrap();
        let (bytes, unpacked) = layer.finish().unwrap();
        assert_eq!(unpacked.diff_id, Checksum::of(content));
        assert_eq!(unpacked.size, content.len() as u64);
        bytes
    }

    fn sample(size: usize) -> Vec<u8> {
        (0..size)
            .map(|at| (at / 7 % 251) as u8 ^ (at / 4099) as u8)
            .collect()
    }

    #[test]
    fn one_gzip_member_for_other_decoders_whatever_the_threads() {
        for size in [0, 1, GZIP_BLOCK, 3 * GZIP_BLOCK + 17] {
            let content = sample(size);
            let one = packed(Packing::GZIP, 1, &content);
            assert_eq!(one, packed(Packing::GZIP, 5, &content), "{size}");
            // This decoder stops after the first member and checks the trailer.
            let mut back = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&one[..]);
            decoder.read_to_end(&mut back).unwrap();
            assert!(back == content, "{size}");
        }
    }

    #[test]
    fn zstd_whatever_the_threads() {
        for size in [0, 1, ZSTD_BLOCK, 2 * ZSTD_BLOCK + 17] {
            let content = sample(size);
            let one = packed(Packing::ZSTD, 1, &content);
            assert_eq!(one, packed(Packing::ZSTD, 3, &content), "{size}");
            assert!(
                zstd::stream::decode_all(&one[..]).unwrap() == content,
                "{size}"
            );
        }
    }

    #[test]
    fn plain_is_plain() {
        let content = sample(GZIP_BLOCK + 5);
        assert!(packed(Packing::Plain, 2, &content) == content);
    }

    /// Gives up after some bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_reported_and_ends_the_threads() {
        let packer = Packer::new(2);
        let mut layer = packer.pack(Packing::Plain, Full(10)).unwrap();
        let written = layer.write_all(&sample(20 * GZIP_BLOCK));
        let error = written.and_then(|()| layer.finish().map(drop)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
