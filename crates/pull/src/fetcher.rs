//! Fetching single files: from the first of several places that has them, and again when that may help.

use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use progress::Interrupt;
use rustix::fs::{Mode, OFlags};

use crate::Error;
use crate::http::{Access, Answer, Body, Line, Network, Problem, Validators};
use crate::location::Location;

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a wait looks whether somebody asked to stop.
const SLICE: Duration = Duration::from_millis(50);

/// A small file as a server has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Small {
    pub(crate) bytes: Vec<u8>,
    pub(crate) validators: Validators,
}

/// What became of a request for a small file.
#[derive(Debug)]
pub(crate) enum Got {
    Found(Small),
    NotModified,
    Absent,
}

/// Fetches files for one pull.
#[derive(Debug)]
pub(crate) struct Fetcher<'a> {
    access: Access,
    root: BorrowedFd<'a>,
    retries: u32,
    first_pause: Duration,
    pub(crate) interrupt: &'a Interrupt,
    received: &'a AtomicU64,
}

impl<'a> Fetcher<'a> {
    /// Paths of this machine are looked for below `root`; bytes are added to `received`.
    pub(crate) fn new(
        access: Access,
        network: &Network,
        root: BorrowedFd<'a>,
        interrupt: &'a Interrupt,
        received: &'a AtomicU64,
    ) -> Self {
        Self {
            access,
            root,
            retries: network.retries,
            first_pause: network.first_pause,
            interrupt,
            received,
        }
    }

    pub(crate) fn line(&self) -> Line {
        Line::open(&self.access, self.interrupt)
    }

    /// A file of at most `limit` bytes that may be missing.
    pub(crate) fn optional(
        &self,
        line: &Line,
        places: &[Location],
        path: &str,
        limit: u64,
        known: Option<&Validators>,
    ) -> Result<Got, Error> {
        let read = |answer: Answer<'_>| match answer {
            Answer::Found(body, validators) => {
                let bytes = body.read_whole(limit)?;
                Ok(Got::Found(Small { bytes, validators }))
            }
            Answer::NotModified => Ok(Got::NotModified),
        };
        match self.attempts(line, places, path, known, read) {
            Err(Error::Fetch { problem, .. }) if problem.is_absence() => Ok(Got::Absent),
            other => other,
        }
    }

    /// A file of at most `limit` bytes.
    pub(crate) fn required(
        &self,
        line: &Line,
        places: &[Location],
        path: &str,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        self.streamed(line, places, path, |body| Ok(body.read_whole(limit)?))
    }

    /// A file of any size, handed to `take` as a stream, anew with every attempt.
    pub(crate) fn streamed<T>(
        &self,
        line: &Line,
        places: &[Location],
        path: &str,
        mut take: impl FnMut(Body<'_>) -> Result<T, Attempt>,
    ) -> Result<T, Error> {
        self.attempts(line, places, path, None, |answer| match answer {
            Answer::Found(body, _) => take(body),
            // Nobody asked whether.
            Answer::NotModified => Err(Problem::Status(304).into()),
        })
    }

    fn attempts<T>(
        &self,
        line: &Line,
        places: &[Location],
        path: &str,
        known: Option<&Validators>,
        mut take: impl FnMut(Answer<'_>) -> Result<T, Attempt>,
    ) -> Result<T, Error> {
        let mut failures = 0;
        loop {
            let (place, problem) = match self.round(line, places, path, known, &mut take) {
                Ok(done) => return Ok(done),
                Err(Round::Final(error)) => return Err(*error),
                Err(Round::Failed(place, problem)) => (place, problem),
            };
            if let Problem::Interrupted(interrupted) = problem {
                return Err(interrupted.into());
            }
            if failures >= self.retries || !problem.may_pass() {
                let url = place.shown(path);
                return Err(Error::Fetch { url, problem });
            }
            tracing::debug!(%problem, path, "trying again");
            self.pause(failures)?;
            failures += 1;
        }
    }

    /// Ask each place once.
    fn round<'p, T>(
        &self,
        line: &Line,
        places: &'p [Location],
        path: &str,
        known: Option<&Validators>,
        take: &mut impl FnMut(Answer<'_>) -> Result<T, Attempt>,
    ) -> Result<T, Round<'p>> {
        let mut last = None;
        for place in places {
            let answer = self.ask(line, place, path, known);
            match answer.map_err(Attempt::from).and_then(&mut *take) {
                Ok(done) => return Ok(done),
                Err(Attempt::Problem(problem)) => last = Some(Round::Failed(place, problem)),
                Err(Attempt::Error(error)) => last = Some(Round::Final(error)),
            }
            if self.interrupt.is_raised() {
                break;
            }
        }
        // Places are never empty; without one there is nothing to be found.
        Err(last.unwrap_or_else(|| Round::Final(Box::new(Error::NoMirrors(path.to_owned())))))
    }

    fn ask<'l>(
        &'l self,
        line: &'l Line,
        place: &Location,
        path: &str,
        known: Option<&Validators>,
    ) -> Result<Answer<'l>, Problem> {
        match place {
            Location::Http(url) => Body::request(line, &url.below(path), known, self.received),
            Location::Dir(dir) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let opened = rustix::fs::openat(self.root, dir.join(path), flags, Mode::empty());
                let file = opened.map_err(|error| Problem::File(error.into()))?;
                let body = Body::of_file(file.into(), self.received);
                Ok(Answer::Found(body, Validators::default()))
            }
        }
    }

    /// Doubles with every failure.
    fn pause(&self, failures: u32) -> Result<(), Error> {
        let full = self.first_pause.saturating_mul(1 << failures.min(16));
        let mut left = full.min(LONGEST_PAUSE);
        while !left.is_zero() {
            self.interrupt.check()?;
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
        Ok(())
    }
}

/// How one place failed.
enum Round<'p> {
    Failed(&'p Location, Problem),
    Final(Box<Error>),
}

/// Why one attempt failed: something that may pass or that another place may not have, or an error.
#[derive(Debug)]
pub(crate) enum Attempt {
    Problem(Problem),
    Error(Box<Error>),
}

impl From<Problem> for Attempt {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl<E: Into<Error>> From<E> for Attempt
where
    E: NotAProblem,
{
    fn from(error: E) -> Self {
        Self::Error(Box::new(error.into()))
    }
}

/// Errors of ours within an attempt.
pub(crate) trait NotAProblem {}
impl NotAProblem for Error {}
impl NotAProblem for ostree::WriteError {}
impl NotAProblem for durable::Error {}
