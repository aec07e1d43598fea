//! What each class of errors means at the edge.

use error_class::ErrorClass;

use crate::personality::Personality;

/// The exit code of a mistake on the command line.
pub(crate) const USAGE: u8 = 2;

/// The exit code of every failure of the `ostree` verbs: scripts for them know no other.
pub(super) const OSTREE: u8 = 1;

/// The exit code of a mistake on the command line.
pub(super) fn usage(personality: Personality) -> u8 {
    match personality {
        Personality::Bootroot => USAGE,
        Personality::Ostree => OSTREE,
    }
}

/// The exit code after SIGINT or SIGTERM.
pub(crate) const INTERRUPTED: u8 = 130;

/// What `--help` says about exit codes; `docs/exit-codes.md` says more.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
    0  done; with --check: up to date
    1  other input or output error
    2  mistake on the command line
    3  not found
    4  corrupt data
    5  input not acceptable
    6  not supported
    7  no space
    8  locked by somebody else
    9  permission denied
   10  not trusted
   11  authentication failed
   12  network failure, trying again may help
   13  refused by a remote
   14  no trusted TLS connection
   15  a remote has no address
   16  a remote did not answer in time
   17  a remote was asked too often
   77  --check: an update is available
  130  interrupted";

/// What the outside sees of a class of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Face {
    /// The exit code.
    pub(crate) code: u8,
    /// The word in JSON.
    pub(crate) word: &'static str,
    /// What to do next when the verb has no better idea.
    pub(crate) hint: Option<&'static str>,
}

const fn face(code: u8, word: &'static str, hint: &'static str) -> Face {
    Face {
        code,
        word,
        hint: Some(hint),
    }
}

const fn plain(code: u8, word: &'static str) -> Face {
    Face {
        code,
        word,
        hint: None,
    }
}

/// What the outside sees of `class`.
pub(crate) fn face_of(class: ErrorClass) -> Face {
    match class {
        ErrorClass::NotFound => plain(3, "not-found"),
        ErrorClass::Corrupt => plain(4, "corrupt"),
        ErrorClass::InvalidInput => plain(5, "invalid-input"),
        ErrorClass::Unsupported => plain(6, "unsupported"),
        ErrorClass::NoSpace => face(
            7,
            "no-space",
            "free some space, for example with `bootroot image remove`, and run the same command again",
        ),
        ErrorClass::Locked => face(
            8,
            "locked",
            "wait until the other process is done, and run the same command again",
        ),
        ErrorClass::Denied => face(
            9,
            "denied",
            "run this as root, on a file system that is mounted writable",
        ),
        ErrorClass::Untrusted => plain(10, "untrusted"),
        ErrorClass::Unauthenticated => face(
            11,
            "unauthenticated",
            "log in with `podman login` or `skopeo login`, or name a file with --authfile",
        ),
        ErrorClass::Network => face(
            12,
            "network",
            "run the same command again; what was fetched is kept",
        ),
        ErrorClass::Forbidden => face(
            13,
            "forbidden",
            "ask the owner of the repository for access, or use other credentials; `bootroot auth check` \
             says which are used",
        ),
        ErrorClass::Tls => face(
            14,
            "tls",
            "put the certificate of the registry's authority into /etc/containers/certs.d/HOST:PORT/ca.crt, \
             or name a directory with --cert-dir",
        ),
        ErrorClass::NoAddress => face(
            15,
            "no-address",
            "check the name of the registry, and the name servers in /etc/resolv.conf",
        ),
        ErrorClass::Timeout => face(
            16,
            "timeout",
            "check the network and the proxy, and run the same command again; what was fetched is kept",
        ),
        ErrorClass::RateLimited => face(
            17,
            "rate-limited",
            "log in for a higher limit, or run the same command later; what was fetched is kept",
        ),
        ErrorClass::Interrupted => face(
            INTERRUPTED,
            "interrupted",
            "run the same command again; complete layers are kept",
        ),
        _ => plain(1, "io"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ALL: [ErrorClass; 17] = [
        ErrorClass::NotFound,
        ErrorClass::Corrupt,
        ErrorClass::InvalidInput,
        ErrorClass::Unsupported,
        ErrorClass::NoSpace,
        ErrorClass::Locked,
        ErrorClass::Denied,
        ErrorClass::Untrusted,
        ErrorClass::Interrupted,
        ErrorClass::Unauthenticated,
        ErrorClass::Network,
        ErrorClass::Forbidden,
        ErrorClass::Tls,
        ErrorClass::NoAddress,
        ErrorClass::Timeout,
        ErrorClass::RateLimited,
        ErrorClass::Io,
    ];

    #[test]
    fn classes_have_codes_and_words_of_their_own() {
        let codes: BTreeSet<u8> = ALL.map(|class| face_of(class).code).into();
        let words: BTreeSet<&str> = ALL.map(|class| face_of(class).word).into();
        assert_eq!((codes.len(), words.len()), (ALL.len(), ALL.len()));
        assert!(!codes.contains(&0) && !codes.contains(&USAGE) && !codes.contains(&77));
    }

    #[test]
    fn the_help_and_the_manual_list_every_code() {
        let manual = include_str!("../../../../docs/exit-codes.md");
        for face in ALL.map(face_of) {
            assert!(
                EXIT_CODES_HELP.contains(&format!("{:>5}  ", face.code)),
                "help lacks {}",
                face.code
            );
            let row = format!("| {} | `{}` |", face.code, face.word);
            assert!(manual.contains(&row), "manual lacks {row}");
        }
    }
}
