//! A thread that makes requests, so that whoever waits for a server is not deaf to an interrupt.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use progress::Interrupt;
use ureq::http::{Response, header};

use super::{Access, Problem};
use crate::location::Url;

/// How long an interrupt may go unnoticed.
const POLL: Duration = Duration::from_millis(100);

/// Content goes from thread to thread in pieces of at most this size.
const PIECE: usize = 64 * 1024;

/// How many pieces may wait: with eight lines, some megabytes in all.
const PIECES: usize = 4;

/// What a copy that we have is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    /// Its entity tag.
    pub(crate) etag: Option<String>,
    /// When it was changed, in seconds since 1970 UTC.
    pub(crate) modified: Option<u64>,
}

/// One request.
struct Call {
    url: Url,
    headers: Vec<(String, String)>,
    answers: SyncSender<Event>,
}

/// What comes back, in this order: one head, pieces, and an end; or a failure at any time.
pub(super) enum Event {
    Head(Head),
    Piece(Vec<u8>),
    End,
    Failed(Problem),
}

/// The head of an answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) validators: Validators,
}

/// Makes one request at a time, in a thread of its own. The thread ends with the line; one that waits for a
/// server then ends at the latest with the timeouts.
#[derive(Debug)]
pub(crate) struct Line {
    access: Access,
    calls: Sender<Call>,
    pub(super) interrupt: Interrupt,
}

impl Line {
    pub(crate) fn open(access: &Access, interrupt: &Interrupt) -> Self {
        let (calls, received) = channel::<Call>();
        let agent = access.agent.clone();
        std::thread::spawn(move || {
            for call in received {
                make(&agent, &call);
            }
        });
        Self {
            access: access.clone(),
            calls,
            interrupt: interrupt.clone(),
        }
    }

    /// Ask for `url`, with more headers.
    pub(super) fn call(&self, url: &Url, more: &[(String, String)]) -> Receiver<Event> {
        let (answers, received) = sync_channel(PIECES);
        let mut headers = self.access.headers(url);
        headers.extend_from_slice(more);
        let url = url.clone();
        tracing::debug!(url = url.as_str(), "request");
        // Without the thread the answer is a closed channel, which is told as a broken connection.
        let _sent = self.calls.send(Call {
            url,
            headers,
            answers,
        });
        received
    }
}

/// The next event, unless an interrupt comes first.
pub(super) fn wait(events: &Receiver<Event>, interrupt: &Interrupt) -> Result<Event, Problem> {
    loop {
        interrupt.check()?;
        match events.recv_timeout(POLL) {
            Ok(Event::Failed(problem)) => return Err(problem),
            Ok(event) => return Ok(event),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Problem::Connection("it was given up".to_owned()));
            }
        }
    }
}

fn make(agent: &ureq::Agent, call: &Call) {
    let request = call
        .headers
        .iter()
        .fold(agent.get(call.url.as_str()), |request, (name, value)| {
            request.header(name, value)
        });
    // Nobody listens after an interrupt or an error; then the rest is not wanted.
    let _unwanted = match request.call() {
        Ok(response) => pass_on(response, &call.answers),
        Err(error) => call.answers.send(Event::Failed(error.into())).ok(),
    };
}

fn pass_on(response: Response<ureq::Body>, answers: &SyncSender<Event>) -> Option<()> {
    let length = response.body().content_length();
    answers.send(Event::Head(head(&response, length))).ok()?;
    let mut reader = response.into_body().into_reader();
    let mut expected = usize::try_from(length.unwrap_or(PIECE as u64)).unwrap_or(PIECE);
    loop {
        let mut piece = Vec::with_capacity(expected.clamp(1, PIECE));
        let room = piece.capacity() as u64;
        match (&mut reader).take(room).read_to_end(&mut piece) {
            Ok(0) => return answers.send(Event::End).ok(),
            Ok(count) => {
                expected = expected.saturating_sub(count);
                answers.send(Event::Piece(piece)).ok()?;
            }
            Err(error) => {
                // What came before the failure is good.
                if !piece.is_empty() {
                    answers.send(Event::Piece(piece)).ok()?;
                }
                let problem = Problem::from(ureq::Error::from(error));
                return answers.send(Event::Failed(problem)).ok();
            }
        }
    }
}

fn head(response: &Response<ureq::Body>, length: Option<u64>) -> Head {
    let text = |name| response.headers().get(name)?.to_str().ok();
    Head {
        status: response.status().as_u16(),
        length,
        validators: Validators {
            etag: text(header::ETAG).map(ToOwned::to_owned),
            modified: text(header::LAST_MODIFIED).and_then(super::date::parse),
        },
    }
}
