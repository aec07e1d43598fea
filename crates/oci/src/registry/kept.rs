//! A blob of which a beginning may have been kept, and of which everything that comes is kept.

use std::io::{self, Read};
use std::sync::Arc;

use super::blob::ResumingBlob;
use super::client::Client;
use super::error::Problem;
use crate::digest::Digest;
use crate::parts::Part;

/// Reads what is kept of a blob, then the rest from the registry.
pub(super) struct KeptBlob {
    part: Part,
    /// How much had been kept before.
    kept: u64,
    position: u64,
    /// What follows. It is asked for when everything that was kept has been read: a connection would
    /// not wait so long.
    rest: Rest,
}

enum Rest {
    Unasked {
        client: Arc<Client>,
        digest: Digest,
        size: u64,
    },
    Coming(Box<ResumingBlob>),
}

impl KeptBlob {
    /// Asks for the blob when nothing of it was kept, so that its absence is noticed here.
    pub(super) fn open(
        client: Arc<Client>,
        digest: Digest,
        size: u64,
        part: Part,
    ) -> Result<Self, Problem> {
        let kept = part.len();
        let rest = if kept == 0 {
            Rest::Coming(Box::new(ResumingBlob::open(client, digest, size, 0)?))
        } else {
            tracing::debug!(blob = %digest, kept, size, "continuing");
            Rest::Unasked {
                client,
                digest,
                size,
            }
        };
        Ok(Self {
            part,
            kept,
            position: 0,
            rest,
        })
    }

    fn read_kept(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.kept - self.position).unwrap_or(usize::MAX);
        let end = buf.len().min(left);
        match self.part.read_at(self.position, &mut buf[..end])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => Ok(n),
        }
    }

    fn read_rest(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Rest::Unasked {
            client,
            digest,
            size,
        } = &self.rest
        {
            let blob = ResumingBlob::open(Arc::clone(client), digest.clone(), *size, self.kept);
            let blob = blob.map_err(|problem| client.stream_error(problem))?;
            self.rest = Rest::Coming(Box::new(blob));
        }
        let Rest::Coming(blob) = &mut self.rest else {
            return Ok(0);
        };
        let n = blob.read(buf)?;
        self.part.append(&buf[..n]);
        Ok(n)
    }
}

impl Read for KeptBlob {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let n = if self.position < self.kept {
            self.read_kept(buf)?
        } else {
            self.read_rest(buf)?
        };
        self.position += n as u64;
        Ok(n)
    }
}
