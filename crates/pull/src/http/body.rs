//! The content of an answer, as a stream that goes on where a connection broke.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use super::line::{Event, Head, Line, Validators, wait};
use super::{Problem, date};
use crate::location::Url;

/// How often one answer may break off without any byte in between before it is given up.
const TRIES: u32 = 3;

/// The content of an answer; its errors carry a [`Problem`].
pub(crate) struct Body<'l> {
    source: Source<'l>,
    received: &'l AtomicU64,
}

enum Source<'l> {
    Wire(Box<Wire<'l>>),
    File(File),
}

struct Wire<'l> {
    line: &'l Line,
    url: Url,
    head: Head,
    events: Receiver<Event>,
    piece: Vec<u8>,
    taken: usize,
    /// Bytes that have come.
    position: u64,
    /// Failures since the last byte came.
    failures: u32,
    ended: bool,
}

/// What a server has to say.
pub(crate) enum Answer<'l> {
    /// This.
    Found(Body<'l>, Validators),
    /// What we have is still right.
    NotModified,
}

impl<'l> Body<'l> {
    /// Ask `line` for `url`, unless the server's copy is the one with the validators `known`.
    pub(crate) fn request(
        line: &'l Line,
        url: &Url,
        known: Option<&Validators>,
        received: &'l AtomicU64,
    ) -> Result<Answer<'l>, Problem> {
        let events = line.call(url, &conditions(known));
        let head = first(&events, line)?;
        match head.status {
            200 => {}
            304 if known.is_some() => return Ok(Answer::NotModified),
            other => return Err(Problem::Status(other)),
        }
        let validators = head.validators.clone();
        let source = Source::Wire(Box::new(Wire {
            line,
            url: url.clone(),
            head,
            events,
            piece: Vec::new(),
            taken: 0,
            position: 0,
            failures: 0,
            ended: false,
        }));
        Ok(Answer::Found(Self { source, received }, validators))
    }

    /// The content of a file of this machine.
    pub(crate) const fn of_file(file: File, received: &'l AtomicU64) -> Self {
        let source = Source::File(file);
        Self { source, received }
    }

    /// Read all, if it has no more than `limit` bytes.
    pub(crate) fn read_whole(mut self, limit: u64) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        let read = (&mut self)
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes);
        read.map_err(|error| Problem::within(error).unwrap_or_else(Problem::File))?;
        if bytes.len() as u64 > limit {
            return Err(Problem::TooLong { limit });
        }
        Ok(bytes)
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            Source::Wire(wire) => wire.read(buffer).map_err(io::Error::other)?,
            Source::File(file) => file.read(buffer)?,
        };
        self.received.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn conditions(known: Option<&Validators>) -> Vec<(String, String)> {
    let Some(known) = known else {
        return Vec::new();
    };
    let etag = known
        .etag
        .clone()
        .map(|etag| ("If-None-Match".to_owned(), etag));
    let since = known
        .modified
        .map(|time| ("If-Modified-Since".to_owned(), date::format(time)));
    etag.into_iter().chain(since).collect()
}

fn first(events: &Receiver<Event>, line: &Line) -> Result<Head, Problem> {
    match wait(events, &line.interrupt)? {
        Event::Head(head) => Ok(head),
        _ => Err(Problem::Protocol("it has no beginning".to_owned())),
    }
}

impl Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Problem> {
        if self.taken == self.piece.len() && !self.refill()? {
            return Ok(0);
        }
        let rest = &self.piece[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }

    /// The next piece; `false` at the end.
    fn refill(&mut self) -> Result<bool, Problem> {
        while !self.ended {
            match wait(&self.events, &self.line.interrupt) {
                Ok(Event::Piece(piece)) => {
                    self.position += piece.len() as u64;
                    self.failures = 0;
                    (self.piece, self.taken) = (piece, 0);
                    return Ok(true);
                }
                Ok(_) => self.end()?,
                Err(problem) => self.resume(problem)?,
            }
        }
        Ok(false)
    }

    fn end(&mut self) -> Result<(), Problem> {
        match self.head.length {
            Some(length) if self.position < length => {
                let missing = format!("{} of {length} bytes came", self.position);
                self.resume(Problem::Partial(missing))
            }
            _ => {
                self.ended = true;
                Ok(())
            }
        }
    }

    /// Ask for the rest, if the server gives parts and there is reason to hope.
    fn resume(&mut self, problem: Problem) -> Result<(), Problem> {
        self.failures += 1;
        if self.position == 0 || self.failures > TRIES || !problem.may_pass() {
            return Err(problem);
        }
        let mut range = vec![("Range".to_owned(), format!("bytes={}-", self.position))];
        // A part of something else is of no use; weak tags cannot promise that it is not.
        let tag = self
            .head
            .validators
            .etag
            .as_ref()
            .filter(|tag| !tag.starts_with("W/"));
        range.extend(tag.map(|tag| ("If-Range".to_owned(), tag.clone())));
        let events = self.line.call(&self.url, &range);
        let head = first(&events, self.line);
        match head {
            Ok(head) if head.status == 206 => {
                let whole = self
                    .head
                    .length
                    .map(|length| length - self.position.min(length));
                if whole.is_some() && head.length.is_some() && whole != head.length {
                    return Err(problem);
                }
                self.events = events;
                Ok(())
            }
            Err(interrupted @ Problem::Interrupted(_)) => Err(interrupted),
            _ => Err(problem),
        }
    }
}
