//! The file descriptor that `--progress-fd` names.

use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use error_class::{Classified, ErrorClass};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// The number given with `--progress-fd` is not an open file descriptor.
#[derive(Debug, thiserror::Error)]
#[error("--progress-fd {number} is not an open file descriptor")]
pub(crate) struct NotOpen {
    number: u32,
    #[source]
    source: io::Error,
}

impl Classified for NotOpen {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// A file of our own on what the descriptor refers to.
pub(crate) fn duplicate(number: u32) -> Result<File, NotOpen> {
    let duplicate = by_pidfd(number).or_else(|_| by_name(number));
    duplicate
        .map(File::from)
        .map_err(|source| NotOpen { number, source })
}

/// A bare number cannot be turned into a descriptor without `unsafe`, but a process may ask the kernel
/// for a copy of any of its own.
fn by_pidfd(number: u32) -> io::Result<OwnedFd> {
    let raw = RawFd::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let myself = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(&myself, raw, PidfdGetfdFlags::empty())?)
}

/// Some containers forbid the above. This opens pipes and files, but not sockets.
fn by_name(number: u32) -> io::Result<OwnedFd> {
    let file = File::options()
        .write(true)
        .open(format!("/proc/self/fd/{number}"))?;
    Ok(file.into())
}
