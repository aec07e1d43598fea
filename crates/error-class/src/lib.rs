//! What kind of failure an error is, so that the edge can act on it.
//!
//! Every error enum of the workspace implements [`Classified`]. Libraries decide what happened; only
//! the command line decides what that means for the exit code, the hint and the JSON form.

use std::io;

/// The kind of a failure, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// The thing that was named does not exist.
    NotFound,
    /// Stored or fetched data is damaged: wrong digest, truncated, not parseable.
    Corrupt,
    /// The caller's input cannot be accepted (bad option, hostile archive, wrong architecture).
    InvalidInput,
    /// A valid request that this program or this store cannot carry out.
    Unsupported,
    /// A file system is full, or would fall below its reserve.
    NoSpace,
    /// Somebody else holds a lock.
    Locked,
    /// The operating system refused: permissions, read-only file system.
    Denied,
    /// A signature is missing, wrong or not trusted, or policy refuses the image.
    Untrusted,
    /// The user or a signal asked to stop.
    Interrupted,
    /// Authentication to a remote failed.
    Unauthenticated,
    /// A remote knows who we are and refuses, or refuses everybody.
    Forbidden,
    /// A remote cannot prove who it is, or would be spoken to in the clear.
    Tls,
    /// The name of a remote has no address.
    NoAddress,
    /// A remote was silent for too long; trying again is sensible.
    Timeout,
    /// A remote was asked too often; trying again later is sensible.
    RateLimited,
    /// The network or the remote failed in a way that may pass; trying again is sensible.
    Network,
    /// Any other input/output failure.
    Io,
}

/// An error that knows its [`ErrorClass`].
pub trait Classified {
    /// The kind of this failure.
    fn class(&self) -> ErrorClass;
}

impl Classified for io::Error {
    fn class(&self) -> ErrorClass {
        match self.kind() {
            io::ErrorKind::NotFound => ErrorClass::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                ErrorClass::Denied
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorClass::NoSpace,
            io::ErrorKind::Interrupted => ErrorClass::Interrupted,
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorClass::Corrupt,
            io::ErrorKind::TimedOut
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::BrokenPipe => ErrorClass::Network,
            _ => ErrorClass::Io,
        }
    }
}
