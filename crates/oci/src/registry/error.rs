//! What can go wrong between us and a registry.

use std::fmt;
use std::io;
use std::time::Duration;

use error_class::{Classified, ErrorClass};
use progress::Interrupted;

use crate::certs::CertsError;
use crate::credentials::HelperError;
use crate::digest::Digest;

/// A request to a registry failed for good: what was tried again is not reported until it failed
/// for the last time.
#[derive(Debug, thiserror::Error)]
#[error("registry {registry}, repository {repository}: {problem}{}", failed_before(.mirrors))]
pub struct Error {
    /// Host and port of the registry.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// What went wrong.
    pub problem: Problem,
    /// What went wrong with mirrors that were asked before.
    pub mirrors: Vec<String>,
}

fn failed_before(failed: &[String]) -> String {
    if failed.is_empty() {
        return String::new();
    }
    format!("; mirrors failed before: {}", failed.join("; "))
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        self.problem.class()
    }
}

/// What went wrong. `detail` is what the registry said about it, possibly nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The registry wants to know who we are, or does not believe it.
    #[error("authentication failed, {used}{detail}")]
    Unauthenticated {
        /// The credentials that were used.
        used: CredentialUse,
        /// What the registry said.
        detail: Detail,
    },
    /// The registry knows who we are and refuses.
    #[error("access is denied, {used}{detail}")]
    Forbidden {
        /// The credentials that were used.
        used: CredentialUse,
        /// What the registry said.
        detail: Detail,
    },
    /// There is no such repository, tag, manifest or blob.
    #[error("there is no {wanted}{detail}")]
    NotFound {
        /// What was asked for.
        wanted: Wanted,
        /// What the registry said.
        detail: Detail,
    },
    /// We asked too often.
    #[error("too many requests{}; log in for a higher limit or try later", after(.retry_after))]
    RateLimited {
        /// When the registry wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The registry, or something before it, is in trouble.
    #[error("the server failed with status {status}{detail}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
        /// What it said.
        detail: Detail,
    },
    /// The registry refused the request for another reason.
    #[error("the server refused {wanted} with status {status}{detail}")]
    Refused {
        /// What was asked for.
        wanted: Wanted,
        /// The HTTP status.
        status: u16,
        /// What it said.
        detail: Detail,
    },
    /// The name of a host has no address.
    #[error("cannot find the address of {host}: {cause}")]
    Dns {
        /// The host.
        host: String,
        /// What the resolver said.
        cause: String,
    },
    /// There is no connection, or it broke.
    #[error("connection to {host} failed: {cause}")]
    Connection {
        /// The host.
        host: String,
        /// Why.
        cause: io::Error,
    },
    /// The server cannot prove who it is, or does not speak TLS.
    #[error(
        "no trusted TLS connection to {host}: {cause}; check its certificate authority, or allow \
         the registry to be insecure"
    )]
    Tls {
        /// The host.
        host: String,
        /// Why.
        cause: String,
    },
    /// The certificates that are configured for the registry are unusable.
    #[error(transparent)]
    Certificates(Box<CertsError>),
    /// A credential helper did not do its work.
    #[error(transparent)]
    Helper(Box<HelperError>),
    /// A proxy is configured by an address that is none.
    #[error("proxy {address:?} is not an address like http://host:port or socks5h://host:port")]
    Proxy {
        /// The address, without what proves who we are.
        address: String,
    },
    /// Nothing happened for too long.
    #[error("{host} did not answer in time while {doing}")]
    Timeout {
        /// The host.
        host: String,
        /// What was being done.
        doing: &'static str,
    },
    /// The server sent us to a place that we do not go to.
    #[error("{url} would be plain HTTP, which is only used for registries marked as insecure")]
    PlainHttp {
        /// The place.
        url: String,
    },
    /// The answer makes no sense in the protocol.
    #[error("{host} does not speak the registry protocol: {cause}")]
    Protocol {
        /// The host.
        host: String,
        /// What is wrong.
        cause: String,
    },
    /// A blob has another size than the manifest says.
    #[error("{digest} has {actual} bytes instead of {size}")]
    WrongSize {
        /// The blob.
        digest: Digest,
        /// What the manifest says.
        size: u64,
        /// What the registry says, or what came at least.
        actual: u64,
    },
    /// A blob broke off again and again.
    #[error("{digest} broke off at byte {position} of {size}: {cause}")]
    BrokeOff {
        /// The blob.
        digest: Digest,
        /// How many bytes have come.
        position: u64,
        /// How many there should be.
        size: u64,
        /// Why it broke off the last time.
        cause: Box<Problem>,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted(#[source] Interrupted),
}

impl Classified for Problem {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unauthenticated { .. } => ErrorClass::Unauthenticated,
            Self::Forbidden { .. } => ErrorClass::Forbidden,
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::RateLimited { .. } => ErrorClass::RateLimited,
            Self::Dns { .. } => ErrorClass::NoAddress,
            Self::Timeout { .. } => ErrorClass::Timeout,
            Self::Server { .. } | Self::Connection { .. } => ErrorClass::Network,
            Self::Tls { .. } => ErrorClass::Tls,
            Self::Certificates(cause) => cause.class(),
            Self::Helper(cause) => cause.class(),
            Self::Proxy { .. } => ErrorClass::InvalidInput,
            Self::PlainHttp { .. } => ErrorClass::Tls,
            Self::Refused { .. } => ErrorClass::Forbidden,
            Self::Protocol { .. } => ErrorClass::Unsupported,
            Self::WrongSize { .. } => ErrorClass::Corrupt,
            Self::BrokeOff { cause, .. } => cause.class(),
            Self::Interrupted(cause) => cause.class(),
        }
    }
}

fn after(retry_after: &Option<Duration>) -> String {
    match retry_after {
        Some(pause) => format!(", to be repeated in {} s", pause.as_secs()),
        None => String::new(),
    }
}

/// What a request asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The registry API itself.
    Api,
    /// An access token, of a token server.
    Token,
    /// A manifest by tag or digest.
    Manifest(String),
    /// A blob.
    Blob(Digest),
    /// To send a blob.
    Upload,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api => f.write_str("registry API (/v2/)"),
            Self::Token => f.write_str("access token"),
            Self::Manifest(wanted) => write!(f, "manifest {wanted}"),
            Self::Blob(digest) => write!(f, "blob {digest}"),
            Self::Upload => f.write_str("way to send a blob"),
        }
    }
}

/// With which credentials a request was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialUse {
    /// With none, as no file has any for the repository.
    Anonymous,
    /// With those of an entry of a file.
    Entry {
        /// The file.
        origin: String,
        /// The entry.
        key: String,
    },
    /// With those of a helper program that a file names.
    Helper {
        /// The file.
        origin: String,
        /// The helper.
        name: String,
    },
}

impl fmt::Display for CredentialUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("no credentials were found for it"),
            Self::Entry { origin, key } => write!(f, "with entry {key:?} of {origin}"),
            Self::Helper { origin, name } => {
                write!(
                    f,
                    "with what docker-credential-{name} has, named by {origin}"
                )
            }
        }
    }
}

/// What a server said, in a form that is safe to print; nothing if it said nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail(String);

impl Detail {
    /// Control characters are dropped and long texts are cut.
    pub(crate) fn new(text: &str) -> Self {
        let printable = |c: &char| !c.is_control();
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        Self(one_line.chars().filter(printable).take(300).collect())
    }

    /// The text alone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Prints `: TEXT`, or nothing.
impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.0)
    }
}
