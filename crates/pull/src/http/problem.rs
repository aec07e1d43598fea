//! What can go wrong between us and a server.

use std::io;

use error_class::{Classified, ErrorClass};
use progress::Interrupted;
use ureq::Timeout;

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The server refused, or failed.
    #[error("Server returned HTTP {0}")]
    Status(u16),
    /// The name of the host has no address.
    #[error("cannot find the address of the host: {0}")]
    Dns(String),
    /// There is no connection, or it broke.
    #[error("connection failed: {0}")]
    Connection(String),
    /// The answer ended before its time.
    #[error("Transferred a partial file: {0}")]
    Partial(String),
    /// The server cannot prove who it is, or does not speak TLS.
    #[error("no trusted TLS connection: {0}; check tls-ca-path of the remote")]
    Tls(String),
    /// Nothing happened for too long.
    #[error("timed out while {0}")]
    Timeout(&'static str),
    /// The answer makes no sense.
    #[error("not a usable answer: {0}")]
    Protocol(String),
    /// The answer is longer than it may be.
    #[error("exceeded maximum size of {limit} bytes")]
    TooLong {
        /// Bytes that are allowed.
        limit: u64,
    },
    /// A file of this machine cannot be read.
    #[error("{0}")]
    File(io::Error),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Problem {
    /// Whether trying again may help.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            Self::Dns(_) | Self::Connection(_) | Self::Partial(_) | Self::Timeout(_) => true,
            _ => false,
        }
    }

    /// Whether the server says that there is no such thing. Stores of files say "forbidden" for that.
    pub(crate) fn is_absence(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status, 403 | 404 | 410),
            Self::File(error) => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// The problem within an error of a reader, if it came from one of ours.
    pub(crate) fn within(error: io::Error) -> Result<Self, io::Error> {
        let kind = error.kind();
        match error.into_inner() {
            Some(inner) => match inner.downcast::<Self>() {
                Ok(problem) => Ok(*problem),
                Err(other) => Err(io::Error::new(kind, other)),
            },
            None => Err(kind.into()),
        }
    }
}

impl From<ureq::Error> for Problem {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(timeout) => Self::Timeout(activity(timeout)),
            ureq::Error::HostNotFound => Self::Dns("it has none".to_owned()),
            ureq::Error::Io(cause) => match cause.kind() {
                // The TLS library's own failures arrive as these.
                io::ErrorKind::InvalidData => Self::Tls(cause.to_string()),
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                    Self::Timeout("transferring")
                }
                io::ErrorKind::UnexpectedEof => Self::Partial(cause.to_string()),
                _ => Self::Connection(cause.to_string()),
            },
            ureq::Error::Tls(cause) => Self::Tls(cause.to_owned()),
            ureq::Error::Rustls(cause) => Self::Tls(cause.to_string()),
            ureq::Error::ConnectionFailed => Self::Connection("refused".to_owned()),
            other => Self::Protocol(other.to_string()),
        }
    }
}

fn activity(timeout: Timeout) -> &'static str {
    match timeout {
        Timeout::Resolve => "looking up the address of the host",
        Timeout::Connect => "connecting",
        Timeout::SendRequest | Timeout::RecvResponse => "waiting for an answer",
        _ => "transferring",
    }
}

impl Classified for Problem {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Status(401) => ErrorClass::Unauthenticated,
            Self::Status(403 | 404 | 410) => ErrorClass::NotFound,
            Self::Status(_) if self.may_pass() => ErrorClass::Network,
            Self::Status(_) => ErrorClass::Denied,
            Self::Dns(_) | Self::Connection(_) | Self::Partial(_) | Self::Timeout(_) => {
                ErrorClass::Network
            }
            Self::Tls(_) => ErrorClass::Untrusted,
            Self::Protocol(_) => ErrorClass::Unsupported,
            Self::TooLong { .. } => ErrorClass::Corrupt,
            Self::File(error) => error.class(),
            Self::Interrupted(error) => error.class(),
        }
    }
}
