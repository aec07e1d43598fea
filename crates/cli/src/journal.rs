//! What is done to a system is told to its journal, with an identifier of its own for each kind of event
//! (`docs/journal.md`).
//!
//! Source of the protocol: systemd, "Native Journal Protocol". A journal that does not listen hinders nobody.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::arguments::Options;
use crate::environment;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Something that happened. The identifiers never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Deployed,
    Staged,
    Upgraded,
    Switched,
    SwitchedInPlace,
    RolledBack,
    CleanedUp,
    Finalized,
    Unlocked,
    Reset,
    SoftReboot,
    Changed,
}

impl Event {
    const fn id(self) -> &'static str {
        match self {
            Self::Deployed => "76c553d4eed4477cbddcefd98762e269",
            Self::Staged => "7ef3997d625243e69d49b3b12c3eb77c",
            Self::Upgraded => "083ff40494a04483ac027bae5f117bcb",
            Self::Switched => "c150e5c8fdae42f2aa22663c2c849a92",
            Self::SwitchedInPlace => "53abb01910bd4889acfb2d9ee931a0e8",
            Self::RolledBack => "2dc366499bd1478b955a4f029fc4b219",
            Self::CleanedUp => "e12107b3bf774e12aabbd91b32d4ea52",
            Self::Finalized => "610d29ec12ea465fa2f22230f06e5ee3",
            Self::Unlocked => "09cf554984d34227b829883d04b13904",
            Self::Reset => "bc114101175c40b784edc9c2d3fea9d0",
            Self::SoftReboot => "d0d8288e425d4901836d19f5df6a878a",
            Self::Changed => "ce0c25c84af94c5abeb5f9e0fdbb3de8",
        }
    }
}

/// The journal of the system that is worked on, if it is the running one.
#[derive(Debug)]
pub(crate) struct Journal(Option<PathBuf>);

impl Journal {
    /// That of the running system, or the one that the user names.
    pub(crate) fn of(options: &Options) -> Self {
        let running = options.sysroot.is_none() && options.repo.is_none();
        let usual = running.then(|| Path::new(SOCKET).to_owned());
        Self(environment::journal_socket().or(usual))
    }

    /// Tells that something happened. Names of `fields` are in capitals.
    pub(crate) fn tell(&self, event: Event, message: &str, fields: &[(&str, &str)]) {
        let Some(path) = &self.0 else {
            return;
        };
        let datagram = datagram(event, message, fields);
        let _unheard = UnixDatagram::unbound().and_then(|socket| socket.send_to(&datagram, path));
    }
}

fn datagram(event: Event, message: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let own = [
        ("MESSAGE", message),
        ("MESSAGE_ID", event.id()),
        // Information.
        ("PRIORITY", "6"),
        ("SYSLOG_IDENTIFIER", "bootroot"),
    ];
    for (name, value) in own.iter().chain(fields) {
        write_field(&mut bytes, name, value);
    }
    bytes
}

/// `NAME=VALUE`, or for values of several lines the name, the length and the value.
fn write_field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        let length = u64::try_from(value.len()).unwrap_or_default();
        bytes.extend_from_slice(&length.to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_in_both_forms() {
        let mut bytes = Vec::new();
        write_field(&mut bytes, "A", "b=c");
        write_field(&mut bytes, "D", "e\nf");
        assert_eq!(bytes, b"A=b=c\nD\n\x03\0\0\0\0\0\0\0e\nf\n");
    }
}
