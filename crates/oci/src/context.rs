//! What opening an image needs from outside.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use progress::Interrupt;

use crate::certs::CertDirs;
use crate::credentials::Credentials;
use crate::parts::Parts;
use crate::platform::Platform;
use crate::proxies::Proxies;
use crate::registries::Registries;
use crate::registry::CaRoots;
use crate::source::LocalLayers;

/// Everything from outside that fetching an image depends on. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Context {
    files: Arc<OwnedFd>,
    /// What the image must run on, where there is a choice.
    pub platform: Platform,
    /// Credentials for registries.
    pub credentials: Credentials,
    /// Mirrors, other locations, blocked and insecure registries.
    pub registries: Registries,
    /// Registries, as `host` or `host:port`, for which plain HTTP and untrusted certificates are
    /// allowed. Plain HTTP is allowed for loopback addresses in any case.
    pub insecure_hosts: BTreeSet<String>,
    /// Allow that to no registry, whatever [`registries`](Self::registries) says.
    pub always_verify: bool,
    /// The certificate authorities that are trusted.
    pub roots: CaRoots,
    /// Further authorities and our own certificates, for single registries.
    pub certs: CertDirs,
    /// How servers elsewhere are reached.
    pub proxies: Proxies,
    /// What we call ourselves to registries.
    pub user_agent: String,
    /// How long the network may take.
    pub timeouts: Timeouts,
    /// How often and how patiently a failed request is made again.
    pub retry: RetryPolicy,
    /// Where partly fetched blobs are kept; without, what was not fetched whole is fetched again.
    pub parts: Option<Parts>,
    /// Where copies of images are kept while they are read, for transports that cannot be read at once.
    pub scratch: Option<Arc<OwnedFd>>,
    /// The storage of podman and its kin, if it may be read at once; without, `skopeo` reads it.
    pub storage: Option<containers::config::Config>,
    /// Stores of this machine whose layers need not be fetched, the one before the other.
    pub stores: Vec<Arc<dyn LocalLayers>>,
    /// Stops waiting and fetching once it is raised.
    pub interrupt: Interrupt,
}

impl Context {
    /// Defaults: anonymous, no certificate authority, this machine's platform. `files` is the
    /// directory that relative paths in references start from; absolute paths are the user's own
    /// words and are taken as they are.
    #[must_use]
    pub fn new(files: OwnedFd) -> Self {
        Self {
            files: Arc::new(files),
            platform: Platform::host(),
            credentials: Credentials::none(),
            registries: Registries::default(),
            insecure_hosts: BTreeSet::new(),
            always_verify: false,
            roots: CaRoots::none(),
            certs: CertDirs::default(),
            proxies: Proxies::default(),
            user_agent: concat!("bootroot/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            parts: None,
            scratch: None,
            storage: None,
            stores: Vec::new(),
            interrupt: Interrupt::default(),
        }
    }

    /// The directory that relative paths start from.
    #[must_use]
    pub fn files(&self) -> BorrowedFd<'_> {
        self.files.as_fd()
    }
}

/// How long the network may take before a request counts as failed.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For finding the address of a host.
    pub resolve: Duration,
    /// For a connection, including TLS.
    pub connect: Duration,
    /// For the head of an answer.
    pub response: Duration,
    /// Without a single byte moving.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(20),
            connect: Duration::from_secs(30),
            response: Duration::from_secs(60),
            stall: Duration::from_secs(30),
        }
    }
}

/// How often and how patiently a request is made again, if it failed in a way that may pass.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// How many times a request is made at most; a blob that made progress starts counting anew.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles from then on.
    pub first_pause: Duration,
    /// The longest pause between two attempts.
    pub longest_pause: Duration,
    /// The longest `Retry-After` of a registry that is waited for; a longer one is an error at
    /// once.
    pub longest_retry_after: Duration,
    /// Spreads the pauses, so that machines that failed together do not come back together: give
    /// each its own number. Each pause is between half and all of what the doubling says.
    pub seed: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(15),
            longest_retry_after: Duration::from_secs(120),
            seed: 0,
        }
    }
}
