//! gzip streams (RFC 1952), without their checksum.
//!
//! The CRC-32 in a gzip trailer is not computed: the same bytes are covered by the blob's digest and
//! by the layer's diff_id, both SHA-256, and computing it costs a twentieth of a pull.

use std::io::{self, BufRead, Read};

use flate2::bufread::DeflateDecoder;

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const HAS_HEADER_CRC: u8 = 1 << 1;
const HAS_EXTRA: u8 = 1 << 2;
const HAS_NAME: u8 = 1 << 3;
const HAS_COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0xe0;

/// The unpacked bytes of all members of a gzip stream, one after the other.
pub(crate) struct Gunzip<R> {
    state: State<R>,
    /// Bytes that came out of the current member, modulo 2^32, which its trailer repeats.
    size: u32,
}

enum State<R> {
    /// At the beginning of a member, or at the end of the stream.
    Between(R),
    Inside(DeflateDecoder<R>),
    /// Only while one state is exchanged for another.
    Moving,
}

impl<R: BufRead> Gunzip<R> {
    pub(crate) const fn new(blob: R) -> Self {
        Self {
            state: State::Between(blob),
            size: 0,
        }
    }

    /// The blob, wherever reading has come to; `None` after an error in a header.
    pub(crate) fn into_inner(self) -> Option<R> {
        match self.state {
            State::Between(blob) => Some(blob),
            State::Inside(decoder) => Some(decoder.into_inner()),
            State::Moving => None,
        }
    }

    /// Enter the next member; whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        let State::Between(blob) = &mut self.state else {
            return Ok(true);
        };
        if blob.fill_buf()?.is_empty() {
            return Ok(false);
        }
        read_header(blob)?;
        if let State::Between(blob) = std::mem::replace(&mut self.state, State::Moving) {
            self.state = State::Inside(DeflateDecoder::new(blob));
        }
        self.size = 0;
        Ok(true)
    }

    /// Leave the current member through its trailer.
    fn end(&mut self) -> io::Result<()> {
        if let State::Inside(decoder) = std::mem::replace(&mut self.state, State::Moving) {
            let mut blob = decoder.into_inner();
            let mut trailer = [0; 8];
            blob.read_exact(&mut trailer)?;
            self.state = State::Between(blob);
            let [.., a, b, c, d] = trailer;
            if u32::from_le_bytes([a, b, c, d]) != self.size {
                return Err(invalid("the size in the gzip trailer is wrong"));
            }
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() && self.begin()? {
            let State::Inside(decoder) = &mut self.state else {
                break;
            };
            let count = decoder.read(buffer)?;
            if count > 0 {
                // The trailer counts modulo 2^32.
                self.size = self.size.wrapping_add(count as u32);
                return Ok(count);
            }
            self.end()?;
        }
        Ok(0)
    }
}

fn read_header(blob: &mut impl BufRead) -> io::Result<()> {
    let mut fixed = [0; 10];
    blob.read_exact(&mut fixed)?;
    let flags = fixed[3];
    if fixed[..3] != MAGIC || flags & RESERVED != 0 {
        return Err(invalid("not a gzip header"));
    }
    if flags & HAS_EXTRA != 0 {
        let mut length = [0; 2];
        blob.read_exact(&mut length)?;
        skip(blob, u64::from(u16::from_le_bytes(length)))?;
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            skip_text(blob)?;
        }
    }
    if flags & HAS_HEADER_CRC != 0 {
        skip(blob, 2)?;
    }
    Ok(())
}

fn skip(blob: &mut impl BufRead, count: u64) -> io::Result<()> {
    match io::copy(&mut blob.take(count), &mut io::sink())? {
        skipped if skipped == count => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Pass over a text that ends with NUL; longer ones than any builder writes are refused.
fn skip_text(blob: &mut impl BufRead) -> io::Result<()> {
    const MAX_TEXT: u64 = 4096;
    let mut text = Vec::new();
    blob.take(MAX_TEXT).read_until(0, &mut text)?;
    if text.last() == Some(&0) {
        Ok(())
    } else {
        Err(invalid("a text in the gzip header has no end"))
    }
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Write as _};

    fn member(content: &[u8], name: bool) -> Vec<u8> {
        let builder = flate2::GzBuilder::new();
        let builder = if name {
            builder.filename("name").comment("why").extra(vec![1, 2, 3])
        } else {
            builder
        };
        let mut encoder = builder.write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        // A tiny buffer lets every boundary fall somewhere awkward.
        Gunzip::new(BufReader::with_capacity(3, bytes))
            .read_to_end(&mut out)
            .map(|_| out)
    }

    #[test]
    fn members_follow_each_other() {
        let both = [
            member(b"hello ", true),
            member(b"", false),
            member(b"world", false),
        ]
        .concat();
        assert_eq!(unpack(&both).unwrap(), b"hello world");
    }

    #[test]
    fn refuses_damage() {
        let good = member(&[7; 5000], true);
        for cut in [5, 12, good.len() / 2, good.len() - 1] {
            assert!(unpack(&good[..cut]).is_err(), "{cut}");
        }
        let mut wrong_size = good.clone();
        *wrong_size.last_mut().unwrap() ^= 1;
        assert!(unpack(&wrong_size).is_err());
        assert!(unpack(&[good, b"garbage after it".to_vec()].concat()).is_err());
    }
}
