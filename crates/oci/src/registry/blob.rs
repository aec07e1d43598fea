//! A blob that is continued where it broke off.

use std::io::{self, Read};
use std::sync::Arc;

use ureq::BodyReader;
use ureq::http::{Response, Uri, header};

use super::client::{Answer, Client};
use super::error::Problem;
use super::patience::Patience;
use super::wire::{body_problem, header_text, protocol};
use crate::digest::Digest;

/// This much must have come since the last break for it to count as progress.
const PROGRESS: u64 = 64 << 10;

/// Reads a blob, and asks for the rest of it when the connection breaks. Ends after exactly the
/// expected number of bytes; their content is not checked.
pub(super) struct ResumingBlob {
    client: Arc<Client>,
    digest: Digest,
    size: u64,
    position: u64,
    /// Absent when there is none to read from (any more).
    body: Option<(Uri, BodyReader<'static>)>,
    patience: Patience,
    /// Where the last break was.
    last_break: u64,
}

impl ResumingBlob {
    /// Asks for the blob, so that its absence is noticed here. An offset at or behind the end gives
    /// nothing.
    pub(super) fn open(
        client: Arc<Client>,
        digest: Digest,
        size: u64,
        offset: u64,
    ) -> Result<Self, Problem> {
        let patience = client.patience();
        let position = offset.min(size);
        let mut blob = Self {
            client,
            digest,
            size,
            position,
            body: None,
            patience,
            last_break: position,
        };
        while blob.body.is_none() && blob.position < size {
            if let Err(problem) = blob.connect() {
                blob.patience.after(problem)?;
            }
        }
        Ok(blob)
    }

    fn connect(&mut self) -> Result<(), Problem> {
        let answer = self.client.blob_once(&self.digest, self.position)?;
        let Answer { uri, response } = answer;
        let skip = self.check_answer(&uri, &response)?;
        let mut body = response.into_body().into_reader();
        discard(&mut body, skip).map_err(|error| body_problem(&uri, error))?;
        self.body = Some((uri, body));
        Ok(())
    }

    /// Whether the answer is the part that was asked for; how many bytes must be skipped because
    /// the server ignored the range.
    fn check_answer(&self, uri: &Uri, response: &Response<ureq::Body>) -> Result<u64, Problem> {
        let length = response.body().content_length();
        let (start, total) = match response.status().as_u16() {
            206 => content_range(response)
                .ok_or_else(|| protocol(uri, "partial answer without a range"))?,
            _ => (0, length),
        };
        if start > self.position {
            return Err(protocol(
                uri,
                format!("range begins at {start}, not {}", self.position),
            ));
        }
        match total {
            Some(actual) if actual != self.size => Err(self.wrong_size(actual)),
            _ => Ok(self.position - start),
        }
    }

    fn wrong_size(&self, actual: u64) -> Problem {
        Problem::WrongSize {
            digest: self.digest.clone(),
            size: self.size,
            actual,
        }
    }

    fn next(&mut self, buf: &mut [u8]) -> Result<usize, Problem> {
        loop {
            self.client.check_interrupt()?;
            if self.position >= self.size {
                return self.end();
            }
            if self.body.is_none() {
                match self.connect() {
                    Ok(()) => {}
                    Err(problem) => self.broke_off(problem)?,
                }
                continue;
            }
            match self.read_body(buf) {
                Ok(n) => return Ok(n),
                Err(problem) => self.broke_off(problem)?,
            }
        }
    }

    fn read_body(&mut self, buf: &mut [u8]) -> Result<usize, Problem> {
        let Some((uri, body)) = &mut self.body else {
            return Ok(0);
        };
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        match body.read(&mut buf[..len]) {
            Ok(0) => Err(body_problem(uri, io::ErrorKind::UnexpectedEof.into())),
            Ok(n) => {
                self.position += n as u64;
                Ok(n)
            }
            Err(error) => Err(body_problem(uri, error)),
        }
    }

    /// Waits before the rest is asked for, or gives up.
    fn broke_off(&mut self, problem: Problem) -> Result<(), Problem> {
        self.body = None;
        if self.position >= self.last_break + PROGRESS {
            self.patience.renew();
        }
        self.last_break = self.position;
        tracing::debug!(blob = %self.digest, position = self.position, %problem, "broke off");
        self.patience
            .after(problem)
            .map_err(|problem| match problem {
                Problem::Interrupted(interrupted) => Problem::Interrupted(interrupted),
                cause => Problem::BrokeOff {
                    digest: self.digest.clone(),
                    position: self.position,
                    size: self.size,
                    cause: Box::new(cause),
                },
            })
    }

    /// All bytes have come. Reading the end of the answer lets the connection be used again, and
    /// shows whether the server has more.
    fn end(&mut self) -> Result<usize, Problem> {
        let Some((_, mut body)) = self.body.take() else {
            return Ok(0);
        };
        match body.read(&mut [0]) {
            Ok(more) if more > 0 => Err(self.wrong_size(self.size + more as u64)),
            _ => Ok(0),
        }
    }
}

impl Read for ResumingBlob {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.next(buf)
            .map_err(|problem| self.client.stream_error(problem))
    }
}

/// First byte and total size of a partial answer: `bytes 5-9/10`, where the size may be `*`.
fn content_range(response: &Response<ureq::Body>) -> Option<(u64, Option<u64>)> {
    let value = header_text(response, header::CONTENT_RANGE)?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    match total {
        "*" => Some((start, None)),
        total => Some((start, Some(total.parse().ok()?))),
    }
}

fn discard(reader: &mut impl Read, count: u64) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let discarded = io::copy(&mut reader.take(count), &mut io::sink())?;
    if discarded < count {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
