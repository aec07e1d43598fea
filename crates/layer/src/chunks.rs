//! Buffers on their way from the thread that unpacks to the one that parses.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use ostree_format::{Checksum, Hasher};

/// Bytes in one buffer: small enough to stay in a core's cache between the two threads.
pub(crate) const CHUNK: usize = 256 * 1024;

/// Buffers that may wait.
const DEPTH: usize = 4;

/// The end that fills buffers.
pub(crate) struct ChunkSender {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

/// The end that reads them: a source of bytes that can be looked at before they are consumed.
pub(crate) struct Chunks {
    full: Receiver<Vec<u8>>,
    empty: Sender<Vec<u8>>,
    /// Bytes that had to be put together across a buffer's end; read before `chunk`.
    carry: Vec<u8>,
    carry_at: usize,
    chunk: Vec<u8>,
    at: usize,
    offset: u64,
    /// Of all bytes of the stream, to `digested` in `chunk`.
    digest: Hasher,
    digested: usize,
}

/// A pair of ends. Buffers go around, so that their memory is allocated once.
pub(crate) fn chunks() -> (ChunkSender, Chunks) {
    let (full_sender, full) = sync_channel(DEPTH);
    let (empty, empty_receiver) = channel();
    let sender = ChunkSender {
        full: full_sender,
        empty: empty_receiver,
    };
    let (carry, chunk) = (Vec::new(), Vec::new());
    (
        sender,
        Chunks {
            full,
            empty,
            carry,
            carry_at: 0,
            chunk,
            at: 0,
            offset: 0,
            digest: Hasher::new(),
            digested: 0,
        },
    )
}

impl ChunkSender {
    /// A buffer of [`CHUNK`] bytes to fill.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.resize(CHUNK, 0);
        buffer
    }

    /// Hand a buffer over; whether anybody still reads.
    pub(crate) fn send(&self, buffer: Vec<u8>) -> bool {
        self.full.send(buffer).is_ok()
    }
}

impl Chunks {
    /// Where in the stream the next byte stands.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, without consuming them: at least one, unless the stream is at its end.
    pub(crate) fn peek(&mut self) -> &[u8] {
        if self.carry_at < self.carry.len() {
            return &self.carry[self.carry_at..];
        }
        if self.at == self.chunk.len() && !self.next_chunk() {
            return &[];
        }
        &self.chunk[self.at..]
    }

    /// The next bytes, without consuming them: at least `count`, unless the stream ends before.
    pub(crate) fn peek_at_least(&mut self, count: usize) -> &[u8] {
        if self.peek().len() >= count {
            return self.peek();
        }
        self.carry.drain(..self.carry_at);
        self.carry_at = 0;
        loop {
            let missing = count.saturating_sub(self.carry.len());
            let take = missing.min(self.chunk.len() - self.at);
            self.carry
                .extend_from_slice(&self.chunk[self.at..self.at + take]);
            self.at += take;
            if self.carry.len() >= count || !self.next_chunk() {
                return &self.carry;
            }
        }
    }

    /// Consume `count` bytes that were peeked at.
    pub(crate) fn consume(&mut self, count: usize) {
        let from_carry = count.min(self.carry.len() - self.carry_at);
        self.carry_at += from_carry;
        self.at += count - from_carry;
        self.offset += count as u64;
    }

    /// Hand the next `count` bytes to `take`, piece by piece; how many were missing at the end. Each piece goes into
    /// `hasher` first.
    pub(crate) fn copy<E>(
        &mut self,
        mut count: u64,
        mut hasher: Option<&mut Hasher>,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        while count > 0 {
            let piece = self.peek();
            if piece.is_empty() {
                break;
            }
            let length = usize::try_from(count).map_or(piece.len(), |count| count.min(piece.len()));
            if let Some(hasher) = &mut hasher {
                self.digest(length, hasher);
            }
            take(&self.peek()[..length])?;
            self.consume(length);
            count -= length as u64;
        }
        Ok(count)
    }

    /// Take the next `count` bytes, which were peeked at, into `hasher` as well as into the digest of the stream.
    pub(crate) fn digest(&mut self, count: usize, hasher: &mut Hasher) {
        if self.carry_at < self.carry.len() {
            return hasher.update(&self.carry[self.carry_at..self.carry_at + count]);
        }
        let end = self.at + count;
        if self.digested > self.at {
            return hasher.update(&self.chunk[self.at..end]);
        }
        self.digest.update(&self.chunk[self.digested..self.at]);
        Hasher::update_both(&mut self.digest, hasher, &self.chunk[self.at..end]);
        self.digested = end;
    }

    /// The digest of the stream, once it was read to its end.
    pub(crate) fn finish(self) -> Checksum {
        self.digest.finish()
    }

    /// Read to the end.
    pub(crate) fn drain(&mut self) {
        loop {
            let length = self.peek().len();
            if length == 0 {
                return;
            }
            self.consume(length);
        }
    }

    fn next_chunk(&mut self) -> bool {
        self.digest.update(&self.chunk[self.digested..]);
        self.digested = self.chunk.len();
        let Ok(next) = self.full.recv() else {
            return false;
        };
        let used = std::mem::replace(&mut self.chunk, next);
        (self.at, self.digested) = (0, 0);
        if used.capacity() > 0 {
            // Nobody fills buffers any more when the sender is gone; then the memory is freed.
            let _unused = self.empty.send(used);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // printf … | sha256sum
    const ALL: &str = "ca2f2069ea0c6e4658222e06f8dd639659cbb5e67cbbba6734bc334a3799bc68";
    const END: &str = "dd458a15b37b6c6025aca662b3d4c65a8408bd51bcbd257d512b36a8a2f39d33";

    #[test]
    fn pieces_across_buffers_are_put_together() {
        let (sender, mut chunks) = chunks();
        let worker = std::thread::spawn(move || {
            for piece in [&b"abc"[..], b"d", b"efghij", b"k"] {
                let mut buffer = sender.buffer();
                buffer.clear();
                buffer.extend_from_slice(piece);
                assert!(sender.send(buffer));
            }
        });
        assert_eq!(chunks.peek(), b"abc");
        chunks.consume(1);
        assert_eq!(chunks.peek_at_least(5), b"bcdef");
        chunks.consume(4);
        assert_eq!(chunks.peek_at_least(1), b"f");
        let mut rest = Vec::new();
        let take = |piece: &[u8]| {
            rest.extend_from_slice(piece);
            Ok::<_, ()>(())
        };
        let mut hasher = Hasher::new();
        let missing = chunks.copy(9, Some(&mut hasher), take).unwrap();
        assert_eq!(
            (rest.as_slice(), missing, chunks.offset()),
            (&b"fghijk"[..], 3, 11)
        );
        assert!(chunks.peek_at_least(1).is_empty());
        assert_eq!(hasher.finish().to_string(), END);
        assert_eq!(chunks.finish().to_string(), ALL);
        worker.join().unwrap();
    }
}
