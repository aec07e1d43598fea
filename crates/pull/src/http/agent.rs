//! How servers are spoken to: what a remote's configuration and the caller say.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ca_roots::CaRoots;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, TlsConfig, parse_pem};
use ureq::{Agent, Proxy};

use crate::cookies::{self, Cookie};
use crate::location::Url;
use crate::remote::{Remote, RemoteError};

/// Largest key or certificate that is read, in bytes.
const MAX_PEM: u64 = 8 << 20;

/// What the caller knows of the network.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Network {
    /// The certificate authorities that are trusted, where the remote names none (`tls-ca-path`).
    pub roots: CaRoots,
    /// What the header `User-Agent` says.
    pub user_agent: String,
    /// The proxy to use, where the remote names none.
    pub proxy: Option<String>,
    /// How often something is tried again (`--network-retries`).
    pub retries: u32,
    /// For how long nothing may come before a connection is given up.
    pub stall: Duration,
    /// For how long connecting may take.
    pub connect: Duration,
    /// How many requests run at the same time (`--max-outstanding-fetcher-requests`).
    pub connections: std::num::NonZeroUsize,
    /// The pause after the first failure; doubles with each further one.
    pub first_pause: Duration,
    /// Headers that go with every request.
    pub headers: Vec<(String, String)>,
    /// The time, in seconds since 1970 UTC, by which cookies expire.
    pub now: u64,
}

impl Network {
    /// The defaults of `ostree pull`, with this text as `User-Agent`.
    #[must_use]
    pub fn new(user_agent: &str) -> Self {
        Self {
            roots: CaRoots::none(),
            user_agent: user_agent.to_owned(),
            proxy: None,
            retries: 5,
            stall: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            connections: std::num::NonZeroUsize::MIN.saturating_add(7),
            first_pause: Duration::from_millis(50),
            headers: Vec::new(),
            now: 0,
        }
    }
}

/// The connections of one pull, and what goes with every request.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(super) agent: Agent,
    headers: Arc<[(String, String)]>,
    cookies: Arc<[Cookie]>,
    now: u64,
}

impl Access {
    /// For `remote`; files that it names lie below `root`.
    pub(crate) fn new(
        network: &Network,
        remote: &Remote,
        cookies: Vec<Cookie>,
        root: BorrowedFd<'_>,
    ) -> Result<Self, RemoteError> {
        let tls = TlsConfig::builder()
            .root_certs(roots(network, remote, root)?.to_ureq())
            .disable_verification(remote.flag("tls-permissive")?.unwrap_or(false))
            .client_cert(client_certificate(remote, root)?)
            .build();
        let connections = network.connections.get();
        let stall = Some(network.stall);
        let config = Agent::config_builder()
            .tls_config(tls)
            // The library would read the environment otherwise.
            .proxy(proxy(network, remote)?)
            .http_status_as_error(false)
            .user_agent(&network.user_agent)
            .accept_encoding("identity")
            .max_idle_connections_per_host(connections)
            .max_idle_connections(2 * connections)
            .timeout_resolve(Some(network.connect))
            .timeout_connect(Some(network.connect))
            .timeout_recv_response(stall)
            .timeout_per_read(stall)
            .timeout_per_write(stall)
            .build();
        Ok(Self {
            agent: Agent::new_with_config(config),
            headers: network.headers.clone().into(),
            cookies: cookies.into(),
            now: network.now,
        })
    }

    /// All headers of a request for `url`.
    pub(super) fn headers(&self, url: &Url) -> Vec<(String, String)> {
        let mut headers = self.headers.to_vec();
        if let Some(authorization) = url.authorization() {
            headers.push(("Authorization".to_owned(), authorization.to_owned()));
        }
        if !self.cookies.is_empty() {
            let (host, path) = (url.host(), url.path());
            let cookie = cookies::header(&self.cookies, &host, &path, url.is_secure(), self.now);
            headers.extend(cookie.map(|value| ("Cookie".to_owned(), value)));
        }
        headers
    }
}

fn roots(network: &Network, remote: &Remote, root: BorrowedFd<'_>) -> Result<CaRoots, RemoteError> {
    match remote.get("tls-ca-path") {
        Some(path) => Ok(CaRoots::system(root, Some(Path::new(path)))?),
        None => Ok(network.roots.clone()),
    }
}

fn proxy(network: &Network, remote: &Remote) -> Result<Option<Proxy>, RemoteError> {
    let own = remote.get("proxy").filter(|proxy| !proxy.is_empty());
    let Some(proxy) = own.or(network.proxy.as_deref()) else {
        return Ok(None);
    };
    let parsed = Proxy::new(proxy).map_err(|_| RemoteError::Proxy(proxy.to_owned()))?;
    Ok(Some(parsed))
}

fn client_certificate(
    remote: &Remote,
    root: BorrowedFd<'_>,
) -> Result<Option<ClientCert>, RemoteError> {
    let named = ["tls-client-cert-path", "tls-client-key-path"].map(|key| remote.get(key));
    let (certificate, key) = match named {
        [None, None] => return Ok(None),
        [Some(certificate), Some(key)] => (certificate, key),
        _ => return Err(RemoteError::HalfACertificate(remote.name().to_owned())),
    };
    let malformed = |path: &str| RemoteError::Pem(path.to_owned());
    let chain = certificates(&read(root, certificate)?).ok_or_else(|| malformed(certificate))?;
    let key = PrivateKey::from_pem(&read(root, key)?).map_err(|_| malformed(key))?;
    Ok(Some(ClientCert::new_with_certs(&chain, key)))
}

fn read(root: BorrowedFd<'_>, path: &str) -> Result<Vec<u8>, RemoteError> {
    let bytes = durable::read_optional(root, Path::new(path), MAX_PEM)?;
    bytes.ok_or_else(|| RemoteError::Pem(path.to_owned()))
}

fn certificates(pem: &[u8]) -> Option<Vec<Certificate<'static>>> {
    let mut chain = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.ok()? {
            chain.push(certificate);
        }
    }
    (!chain.is_empty()).then_some(chain)
}
