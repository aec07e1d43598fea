//! Requests to one repository: with authorization, and again when that may help.

use std::io::{self, Read};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::Deserialize;
use ureq::Body;
use ureq::http::{Method, Response, Uri, header};

use super::access::Access;
use super::error::{CredentialUse, Detail, Error, Problem, Wanted};
use super::patience::{Patience, retry_after};
use super::url;
use super::wire::{Request, Wire, body_problem, header_text, protocol};
use crate::context::{Context, RetryPolicy};
use crate::credentials::{Lookup, Secret};
use crate::digest::Digest;
use crate::limits;
use crate::media_type::ACCEPTED_MANIFESTS;
use crate::reference::RegistryReference;
use crate::registries::Endpoint;
use crate::source;

/// How often a mirror is asked that fails in a way that may pass.
const ATTEMPTS_AT_MIRROR: u32 = 2;

/// Speaks to one repository of a registry.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    pub(super) wire: Wire,
    pub(super) candidates: Vec<Lookup>,
    /// The credentials, once they have been needed.
    pub(super) credentials: OnceLock<Option<Resolved>>,
    /// Whether tokens must allow to push.
    pub(super) pushes: bool,
    policy: RetryPolicy,
    pub(super) interrupt: progress::Interrupt,
    /// What is known of the registry; nothing before the first request. The lock is held while that
    /// changes, so that threads do not ask for the same token at once.
    access: Mutex<Option<Access>>,
}

/// Credentials that were found, and what to tell about them.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) secret: Secret,
    pub(super) used: CredentialUse,
}

/// A manifest as it came.
pub(super) struct FetchedManifest {
    pub(super) bytes: Vec<u8>,
    pub(super) media_type: Option<String>,
    /// `Docker-Content-Digest`.
    pub(super) announced: Option<String>,
}

/// Something that is sent to the registry.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) method: Method,
    pub(super) content_type: String,
    /// Which bytes of a blob these are, `0-99`.
    pub(super) range: Option<String>,
    pub(super) body: Vec<u8>,
}

/// The answer to a request, and where the request went first.
pub(super) struct Answer {
    pub(super) uri: Uri,
    pub(super) response: Response<Body>,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, context: &Context, pushes: bool) -> Self {
        let name = &endpoint.name;
        let insecure = endpoint.insecure && !context.always_verify;
        Self {
            wire: Wire::new(name.registry(), insecure, context),
            candidates: context
                .credentials
                .lookup(name.registry(), name.repository()),
            credentials: OnceLock::new(),
            pushes,
            policy: context.retry,
            interrupt: context.interrupt.clone(),
            access: Mutex::new(None),
            endpoint,
        }
    }

    /// Gives up sooner than usual: somebody else has the same image.
    pub(super) fn impatient(mut self) -> Self {
        self.policy.attempts = self.policy.attempts.min(ATTEMPTS_AT_MIRROR);
        self
    }

    pub(super) fn name(&self) -> &RegistryReference {
        &self.endpoint.name
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn error(&self, problem: Problem) -> Error {
        Error {
            registry: self.name().registry().to_owned(),
            repository: self.name().repository().to_owned(),
            problem,
            mirrors: Vec::new(),
        }
    }

    pub(super) fn source_error(&self, problem: Problem) -> source::Error {
        match problem {
            Problem::Interrupted(interrupted) => interrupted.into(),
            problem => Box::new(self.error(problem)).into(),
        }
    }

    /// A problem while a blob is read.
    pub(super) fn stream_error(&self, problem: Problem) -> io::Error {
        self.source_error(problem).into()
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.policy, self.interrupt.clone())
    }

    pub(super) fn check_interrupt(&self) -> Result<(), Problem> {
        self.interrupt.check().map_err(Problem::Interrupted)
    }

    /// Fetches a manifest by tag or digest.
    pub(super) fn manifest(&self, wanted: &str) -> Result<FetchedManifest, Problem> {
        let mut patience = self.patience();
        loop {
            match self.manifest_once(wanted) {
                Ok(fetched) => return Ok(fetched),
                Err(problem) => patience.after(problem)?,
            }
        }
    }

    fn manifest_once(&self, wanted: &str) -> Result<FetchedManifest, Problem> {
        let accept = [(header::ACCEPT, ACCEPTED_MANIFESTS.to_owned())];
        let what = Wanted::Manifest(wanted.to_owned());
        let Answer { uri, response } = self.get(&format!("manifests/{wanted}"), &accept, &what)?;
        let media_type = header_text(&response, header::CONTENT_TYPE).map(str::to_owned);
        let announced = response.headers().get("docker-content-digest");
        let announced = announced
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut bytes = Vec::new();
        response
            .into_body()
            .into_reader()
            .take(limits::MANIFEST + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| body_problem(&uri, error))?;
        if bytes.len() as u64 > limits::MANIFEST {
            let cause = format!("{what} has more than {} bytes", limits::MANIFEST);
            return Err(protocol(&uri, cause));
        }
        Ok(FetchedManifest {
            bytes,
            media_type,
            announced,
        })
    }

    /// Something of the repository that is not large, once.
    pub(super) fn read_whole(&self, path: &str, limit: u64) -> Result<Vec<u8>, Problem> {
        let wanted = Wanted::Manifest(path.to_owned());
        let Answer { uri, response } = self.get(path, &[], &wanted)?;
        let mut bytes = Vec::new();
        let reader = response.into_body().into_reader();
        reader
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| body_problem(&uri, error))?;
        if bytes.len() as u64 > limit {
            return Err(protocol(
                &uri,
                format!("{path} has more than {limit} bytes"),
            ));
        }
        Ok(bytes)
    }

    /// Asks for a blob from an offset on, once. The answer has status 200 or 206.
    pub(super) fn blob_once(&self, digest: &Digest, offset: u64) -> Result<Answer, Problem> {
        let range = (offset > 0).then(|| (header::RANGE, format!("bytes={offset}-")));
        let what = Wanted::Blob(digest.clone());
        self.get(&format!("blobs/{digest}"), range.as_slice(), &what)
    }

    /// Asks whether there is a blob, once.
    pub(super) fn blob_exists(&self, digest: &Digest) -> Result<(), Problem> {
        let access = self.access()?;
        let uri = self.path_uri(&access, &format!("blobs/{digest}"))?;
        let head = Upload {
            method: Method::HEAD,
            content_type: String::new(),
            range: None,
            body: Vec::new(),
        };
        self.upload(&uri, &head, &Wanted::Blob(digest.clone()))
            .map(drop)
    }

    /// Sends something to a path of the repository, once.
    pub(super) fn upload_to(
        &self,
        path: &str,
        upload: &Upload,
        wanted: &Wanted,
    ) -> Result<Answer, Problem> {
        let uri = self.path_uri(&self.access()?, path)?;
        self.upload(&uri, upload, wanted)
    }

    /// Sends something to an address that the registry gave, once. Our authorization goes to the
    /// registry alone, and is renewed once.
    pub(super) fn upload(
        &self,
        uri: &Uri,
        upload: &Upload,
        wanted: &Wanted,
    ) -> Result<Answer, Problem> {
        let access = self.access()?;
        let mut response = self.send_upload(&access, uri, upload)?;
        if response.status().as_u16() == 401 {
            let access = self.renewed_access(access.generation, response)?;
            response = self.send_upload(&access, uri, upload)?;
        }
        match response.status().as_u16() {
            200..=204 => Ok(Answer {
                uri: uri.clone(),
                response,
            }),
            _ => Err(answer_problem(self, wanted, response)),
        }
    }

    fn send_upload(
        &self,
        access: &Access,
        uri: &Uri,
        upload: &Upload,
    ) -> Result<Response<Body>, Problem> {
        let base = self.uri(&access.base)?;
        let is_registry = url::origin(&base) == url::origin(uri);
        let authorization = access.authorization.as_deref().filter(|_| is_registry);
        self.wire.upload(uri, authorization, upload)
    }

    fn path_uri(&self, access: &Access, path: &str) -> Result<Uri, Problem> {
        let repository = self.name().repository();
        self.uri(&format!("{}/v2/{repository}/{path}", access.base))
    }

    /// Asks for something in the repository, once. The answer has status 200 or 206. A refused
    /// authorization is renewed once, as tokens expire.
    fn get(
        &self,
        path: &str,
        headers: &[(header::HeaderName, String)],
        wanted: &Wanted,
    ) -> Result<Answer, Problem> {
        let access = self.access()?;
        let mut answer = self.send(&access, path, headers)?;
        if answer.response.status().as_u16() == 401 {
            let access = self.renewed_access(access.generation, answer.response)?;
            answer = self.send(&access, path, headers)?;
        }
        match answer.response.status().as_u16() {
            200 | 206 => Ok(answer),
            _ => Err(answer_problem(self, wanted, answer.response)),
        }
    }

    fn send(
        &self,
        access: &Access,
        path: &str,
        headers: &[(header::HeaderName, String)],
    ) -> Result<Answer, Problem> {
        let uri = self.path_uri(access, path)?;
        let request = Request {
            authorization: access.authorization.as_deref(),
            headers: headers.to_vec(),
            form: None,
        };
        let response = self.wire.send(&uri, &request)?;
        Ok(Answer { uri, response })
    }

    /// What has been found out about the registry, if anything.
    pub(super) fn known_access(&self) -> Option<Access> {
        let access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        access.clone()
    }

    fn access(&self) -> Result<Access, Problem> {
        self.check_interrupt()?;
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(access) = &*access {
            return Ok(access.clone());
        }
        let discovered = Access::discover(self)?;
        Ok(access.insert(discovered).clone())
    }

    /// Another authorization than that of `generation`, unless another thread has got one already.
    fn renewed_access(&self, generation: u64, response: Response<Body>) -> Result<Access, Problem> {
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        let access = match &mut *access {
            Some(access) => access,
            empty => empty.insert(Access::discover(self)?),
        };
        if access.generation == generation {
            access.renew(self, response)?;
        }
        Ok(access.clone())
    }
}

/// What an answer with an error status means. Its body is looked at for an explanation.
pub(super) fn answer_problem(
    client: &Client,
    wanted: &Wanted,
    response: Response<Body>,
) -> Problem {
    let status = response.status().as_u16();
    let asked = header_text(&response, header::RETRY_AFTER);
    let retry_after = retry_after(asked, header_text(&response, header::DATE));
    let detail = detail_of(response);
    let used = client.credential_use();
    let wanted = wanted.clone();
    match status {
        401 => Problem::Unauthenticated { used, detail },
        403 => Problem::Forbidden { used, detail },
        404 => Problem::NotFound { wanted, detail },
        429 => Problem::RateLimited { retry_after },
        408 | 500 | 502 | 503 | 504 => Problem::Server {
            status,
            retry_after,
            detail,
        },
        _ => Problem::Refused {
            wanted,
            status,
            detail,
        },
    }
}

/// Errors as the distribution specification has them ("Error Codes").
#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

fn detail_of(response: Response<Body>) -> Detail {
    let mut body = Vec::new();
    let reader = response.into_body().into_reader();
    // An explanation that does not arrive is no explanation; the status says enough.
    let _partial = reader.take(limits::ERROR_BODY).read_to_end(&mut body);
    match serde_json::from_slice::<Errors>(&body) {
        Ok(Errors { errors }) => {
            let entry = |entry: &ErrorEntry| format!("{} {}", entry.code, entry.message);
            let entries: Vec<_> = errors.iter().map(entry).collect();
            Detail::new(&entries.join("; "))
        }
        Err(_) if body.starts_with(b"<") => Detail::default(),
        Err(_) => Detail::new(&String::from_utf8_lossy(&body)),
    }
}
