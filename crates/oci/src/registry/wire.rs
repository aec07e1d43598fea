//! One exchange with a server: send, follow redirects, and say what went wrong.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use ca_roots::CaRoots;
use progress::Interrupt;
use ureq::config::Config;
use ureq::http::{Method, Response, StatusCode, Uri, header};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    ConnectProxyConnector, Connector, NextTimeout, SocksConnector, TcpConnector,
};
use ureq::{Agent, Body, Proxy, Timeout};

use super::client::Upload;
use super::error::Problem;
use super::tls::TlsConnector;
use super::url;
use super::waiting::interruptible;
use crate::certs::CertDirs;
use crate::context::{Context, Timeouts};
use crate::limits;
use crate::proxies::Proxies;
use crate::reference::split_port;

/// How many idle connections to one host are kept: one for each layer that may be fetched at once.
const IDLE_PER_HOST: usize = 8;

/// Makes requests. Connections are kept and used again.
#[derive(Debug)]
pub(super) struct Wire {
    /// Host and port of the registry.
    registry: String,
    /// Whether the registry is on this machine. Another must not lead us to servers here.
    registry_is_local: bool,
    /// One for each way of making connections, made when first needed.
    agents: Mutex<HashMap<Way, Agent>>,
    settings: Settings,
}

/// What a connection depends on, beside the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Way {
    /// For insecure hosts: any certificate will do.
    any_certificate: bool,
    /// The registry or other server whose own certificates are used.
    certificates_of: Option<String>,
    proxy: Option<String>,
}

#[derive(Debug)]
struct Settings {
    roots: CaRoots,
    certs: CertDirs,
    proxies: Proxies,
    user_agent: String,
    timeouts: Timeouts,
    insecure_hosts: BTreeSet<String>,
    interrupt: Interrupt,
}

/// A request, as far as redirects keep it.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    /// Goes to the first server only.
    pub(super) authorization: Option<&'a str>,
    /// Go wherever the request goes.
    pub(super) headers: Vec<(header::HeaderName, String)>,
    /// Makes it a POST, which is never redirected.
    pub(super) form: Option<&'a [(&'a str, &'a str)]>,
}

/// One request with all it needs, to be made in another thread.
struct Call {
    uri: Uri,
    headers: Vec<(header::HeaderName, String)>,
    form: Option<Vec<(String, String)>>,
}

impl Call {
    fn new(uri: &Uri, authorization: Option<&str>, request: &Request<'_>) -> Self {
        let authorization = authorization.map(|value| (header::AUTHORIZATION, value.to_owned()));
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            uri: uri.clone(),
            headers: request
                .headers
                .iter()
                .cloned()
                .chain(authorization)
                .collect(),
            form: request.form.map(|form| form.iter().map(owned).collect()),
        }
    }

    fn make(self, agent: &Agent) -> Result<Response<Body>, ureq::Error> {
        let headers = self.headers.into_iter();
        match self.form {
            None => headers
                .fold(agent.get(&self.uri), |builder, (name, value)| {
                    builder.header(name, value)
                })
                .call(),
            Some(form) => headers
                .fold(agent.post(&self.uri), |builder, (name, value)| {
                    builder.header(name, value)
                })
                .send_form(form),
        }
    }
}

impl Wire {
    /// For a registry, `host` or `host:port`.
    pub(super) fn new(registry: &str, insecure: bool, context: &Context) -> Self {
        let mut insecure_hosts = context.insecure_hosts.clone();
        if insecure {
            insecure_hosts.insert(url::registry_host(registry).to_ascii_lowercase());
        }
        let settings = Settings {
            roots: context.roots.clone(),
            certs: context.certs.clone(),
            proxies: context.proxies.clone(),
            user_agent: context.user_agent.clone(),
            timeouts: context.timeouts,
            insecure_hosts,
            interrupt: context.interrupt.clone(),
        };
        Self {
            registry: registry.to_owned(),
            registry_is_local: url::is_loopback(split_port(registry).0),
            agents: Mutex::default(),
            settings,
        }
    }

    /// Whether plain HTTP may be spoken with a server.
    pub(super) fn allows_plain_http(&self, uri: &Uri) -> bool {
        let local = || url::is_loopback(uri.host().unwrap_or_default());
        url::is_insecure(uri, &self.settings.insecure_hosts) || (self.registry_is_local && local())
    }

    /// Makes a request and follows redirects. The answer may have any other status.
    pub(super) fn send(&self, uri: &Uri, request: &Request<'_>) -> Result<Response<Body>, Problem> {
        let mut uri = uri.clone();
        let mut authorization = request.authorization;
        for _ in 0..=limits::REDIRECTS {
            let response = self.exchange(&uri, authorization, request)?;
            if !is_redirect(response.status()) || request.form.is_some() {
                return Ok(response);
            }
            let next = redirect_target(&uri, &response)?;
            settle(response);
            if url::origin(&next) != url::origin(&uri) {
                authorization = None;
            }
            tracing::debug!(from = %uri, to = url::shown_host(&next), "redirected");
            uri = next;
        }
        Err(protocol(&uri, "too many redirects"))
    }

    /// Sends something, without following redirects. The answer may have any status.
    pub(super) fn upload(
        &self,
        uri: &Uri,
        authorization: Option<&str>,
        upload: &Upload,
    ) -> Result<Response<Body>, Problem> {
        self.check_scheme(uri)?;
        let mut builder = ureq::http::Request::builder()
            .method(&upload.method)
            .uri(uri.clone());
        let authorization = authorization.map(|value| (header::AUTHORIZATION, value));
        let range = upload
            .range
            .as_deref()
            .map(|range| (header::CONTENT_RANGE, range));
        let kind = (!upload.content_type.is_empty())
            .then_some((header::CONTENT_TYPE, upload.content_type.as_str()));
        for (name, value) in authorization.into_iter().chain(range).chain(kind) {
            builder = builder.header(name, value);
        }
        let is_bare = upload.method == Method::HEAD;
        let request = builder
            .body(upload.body.clone())
            .map_err(|cause| protocol(uri, cause.to_string()))?;
        tracing::debug!(method = %upload.method, host = url::shown_host(uri), path = uri.path(), "request");
        let agent = self.agent(uri)?;
        let run = move || {
            if is_bare {
                return agent.run(request.map(drop));
            }
            agent.run(request)
        };
        interruptible(&self.settings.interrupt, run)
            .map_err(Problem::Interrupted)?
            .map_err(|error| problem(uri, error))
    }

    fn check_scheme(&self, uri: &Uri) -> Result<(), Problem> {
        if uri.scheme_str() == Some("https") || self.allows_plain_http(uri) {
            return Ok(());
        }
        let url = format!("http://{}", url::shown_host(uri));
        Err(Problem::PlainHttp { url })
    }

    fn exchange(
        &self,
        uri: &Uri,
        authorization: Option<&str>,
        request: &Request<'_>,
    ) -> Result<Response<Body>, Problem> {
        self.check_scheme(uri)?;
        let method = request.form.map_or(Method::GET, |_| Method::POST);
        tracing::debug!(%method, host = url::shown_host(uri), path = uri.path(), "request");
        let (agent, call) = (self.agent(uri)?, Call::new(uri, authorization, request));
        interruptible(&self.settings.interrupt, move || call.make(&agent))
            .map_err(Problem::Interrupted)?
            .map_err(|error| problem(uri, error))
    }

    fn agent(&self, uri: &Uri) -> Result<Agent, Problem> {
        let way = self.way(uri);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(&way) {
            return Ok(agent.clone());
        }
        let agent = self.settings.agent(&self.registry, &way)?;
        agents.insert(way, agent.clone());
        Ok(agent)
    }

    fn way(&self, uri: &Uri) -> Way {
        let (scheme, host, port) = url::origin(uri);
        let proxy = self.settings.proxies.for_server(&scheme, &host, port);
        let shown = url::shown_host(uri);
        let is_registry = shown == url::registry_host(&self.registry);
        Way {
            any_certificate: url::is_insecure(uri, &self.settings.insecure_hosts),
            certificates_of: is_registry.then(|| self.registry.clone()),
            proxy: proxy.map(str::to_owned),
        }
    }
}

impl Settings {
    fn agent(&self, registry: &str, way: &Way) -> Result<Agent, Problem> {
        let certs = self.certs.load(registry);
        let certs = certs.map_err(|cause| Problem::Certificates(Box::new(cause)))?;
        // The registry's own authorities may also vouch for the servers that it sends us to; who we
        // are is told to the registry alone.
        let identity = certs
            .identity
            .as_ref()
            .filter(|_| way.certificates_of.is_some());
        let roots = [&self.roots, &certs.roots];
        let tls = TlsConnector::new(&roots, identity, way.any_certificate);
        let tls = tls.map_err(|error| Problem::Tls {
            host: registry.to_owned(),
            cause: error.to_string(),
        })?;
        let proxy = way.proxy.as_deref().map(parse_proxy).transpose()?;
        let connector =
            ().chain(SocksConnector::default())
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(tls);
        Ok(Agent::with_parts(
            self.config(proxy),
            connector,
            HostResolver::default(),
        ))
    }

    fn config(&self, proxy: Option<Proxy>) -> Config {
        let stall = Some(self.timeouts.stall);
        Agent::config_builder()
            // The library would read the environment otherwise.
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(&self.user_agent)
            .accept_encoding("identity")
            .max_idle_connections_per_host(IDLE_PER_HOST)
            .max_idle_connections(2 * IDLE_PER_HOST)
            .timeout_resolve(Some(self.timeouts.resolve))
            .timeout_connect(Some(self.timeouts.connect))
            .timeout_recv_response(Some(self.timeouts.response))
            .timeout_per_read(stall)
            .timeout_per_write(stall)
            .build()
    }
}

fn parse_proxy(address: &str) -> Result<Proxy, Problem> {
    // The address may hold a password.
    Proxy::new(address).map_err(|_| Problem::Proxy {
        address: address.rsplit('@').next().unwrap_or_default().to_owned(),
    })
}

/// The usual resolver, with failures that can be told from those of a connection.
#[derive(Debug, Default)]
struct HostResolver(DefaultResolver);

/// No address for a host; carried through the HTTP library.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoAddress(String);

impl Resolver for HostResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let resolved = self.0.resolve(uri, config, timeout);
        resolved.map_err(|error| match error {
            ureq::Error::Io(cause) => ureq::Error::Other(Box::new(NoAddress(cause.to_string()))),
            other => other,
        })
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn redirect_target(uri: &Uri, response: &Response<Body>) -> Result<Uri, Problem> {
    let location = header_text(response, header::LOCATION);
    location
        .and_then(|location| url::join(uri, location))
        .ok_or_else(|| protocol(uri, "redirect without a usable location"))
}

/// A header of an answer, if it is text.
pub(super) fn header_text(response: &Response<Body>, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// Reads what is left of an answer that is not needed, if that is little: its connection can then be
/// used again.
pub(super) fn settle(response: Response<Body>) {
    let reader = response.into_body().into_reader();
    // The connection is closed if this fails, which is all that happens.
    let _copied = io::copy(&mut reader.take(limits::ERROR_BODY), &mut io::sink());
}

pub(super) fn protocol(uri: &Uri, cause: impl Into<String>) -> Problem {
    Problem::Protocol {
        host: url::shown_host(uri),
        cause: cause.into(),
    }
}

/// What a failure of the HTTP library means.
pub(super) fn problem(uri: &Uri, error: ureq::Error) -> Problem {
    let host = url::shown_host(uri);
    let tls = |host, cause| Problem::Tls { host, cause };
    match error {
        ureq::Error::Timeout(timeout) => Problem::Timeout {
            host,
            doing: activity(timeout),
        },
        ureq::Error::HostNotFound => Problem::Dns {
            host,
            cause: "it has none".to_owned(),
        },
        ureq::Error::Other(cause) if cause.is::<NoAddress>() => Problem::Dns {
            host,
            cause: cause.to_string(),
        },
        ureq::Error::Io(cause) => match cause.kind() {
            // The TLS library's own failures arrive as these.
            io::ErrorKind::InvalidData if is_of_tls(&cause) => tls(host, cause.to_string()),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Problem::Timeout {
                host,
                doing: "transferring",
            },
            _ => Problem::Connection { host, cause },
        },
        ureq::Error::Tls(cause) => tls(host, cause.to_owned()),
        ureq::Error::Rustls(cause) => tls(host, cause.to_string()),
        ureq::Error::ConnectProxyFailed(cause) => Problem::Connection {
            host,
            cause: io::Error::other(format!("the proxy does not lead there: {cause}")),
        },
        ureq::Error::ConnectionFailed => Problem::Connection {
            host,
            cause: io::ErrorKind::ConnectionRefused.into(),
        },
        other => Problem::Protocol {
            host,
            cause: other.to_string(),
        },
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    let Some(inner) = error.get_ref() else {
        return false;
    };
    inner.is::<rustls::Error>()
}

fn activity(timeout: Timeout) -> &'static str {
    match timeout {
        Timeout::Resolve => "looking up its address",
        Timeout::Connect => "connecting",
        Timeout::SendRequest | Timeout::RecvResponse => "waiting for an answer",
        _ => "transferring",
    }
}

/// What a failed read of a body means.
pub(super) fn body_problem(uri: &Uri, error: io::Error) -> Problem {
    problem(uri, ureq::Error::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(registry: &str, url: &str) -> bool {
        let directory = std::fs::File::open(".").unwrap();
        let mut context = Context::new(directory.into());
        context.insecure_hosts.insert("insecure.io".to_owned());
        Wire::new(registry, false, &context).allows_plain_http(&url.parse().unwrap())
    }

    #[test]
    fn plain_http_is_for_this_machine_and_for_marked_hosts() {
        assert!(allowed("localhost:5000", "http://localhost:5000/"));
        assert!(allowed("[::1]:5000", "http://127.0.0.1:80/"));
        assert!(allowed("quay.io", "http://insecure.io/"));
        assert!(!allowed("quay.io", "http://quay.io/"));
        assert!(!allowed("localhost", "http://quay.io/"));
        // A registry elsewhere has no business with servers here.
        assert!(!allowed("quay.io", "http://127.0.0.1:80/"));
    }
}
