//! What has been learnt about a registry: how it is reached and what it lets us in with.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, Uri, header};

use super::challenge::{Challenge, Realm};
use super::client::{Client, Resolved, answer_problem};
use super::error::{CredentialUse, Problem, Wanted};
use super::url;
use super::waiting::interruptible;
use super::wire::{Request, body_problem, protocol, settle};
use crate::credentials::{Lookup, Secret, ask};
use crate::limits;

/// The name under which identity tokens are exchanged; token servers only log it.
const CLIENT_ID: &str = "bootroot";

/// How a registry is spoken to.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// Scheme and host, `https://quay.io`.
    pub(super) base: String,
    /// What the registry asked for, if anything.
    pub(super) challenge: Option<Challenge>,
    /// The header that satisfies it.
    pub(super) authorization: Option<String>,
    /// Tells a renewed authorization from the one before.
    pub(super) generation: u64,
}

impl Access {
    /// Finds out how the registry is reached and gets an authorization if it wants one.
    pub(super) fn discover(client: &Client) -> Result<Self, Problem> {
        let mut access = Self::ping(client)?;
        access.authorization = authorize(client, access.challenge.as_ref())?;
        Ok(access)
    }

    /// Gets a new authorization, after the registry did not accept the one there was.
    pub(super) fn renew(
        &mut self,
        client: &Client,
        response: Response<Body>,
    ) -> Result<(), Problem> {
        if let Some(challenge) = challenge_of(&response) {
            self.challenge = Some(challenge);
        }
        settle(response);
        self.authorization = authorize(client, self.challenge.as_ref())?;
        self.generation += 1;
        Ok(())
    }

    /// Asks the registry whether it is one, over HTTPS, then over plain HTTP if that is allowed and
    /// HTTPS found nothing that speaks it.
    fn ping(client: &Client) -> Result<Self, Problem> {
        let host = url::registry_host(client.name().registry());
        let secure = match Self::ping_at(client, format!("https://{host}")) {
            Err(problem) if may_be_plain(client, host, &problem) => problem,
            other => return other,
        };
        match Self::ping_at(client, format!("http://{host}")) {
            // No HTTP server either, or one that expects TLS: the first finding says more.
            Err(Problem::Connection { .. } | Problem::Refused { status: 400, .. }) => Err(secure),
            other => other,
        }
    }

    fn ping_at(client: &Client, base: String) -> Result<Self, Problem> {
        let uri = client.uri(&format!("{base}/v2/"))?;
        let response = client.wire.send(&uri, &Request::default())?;
        let challenge =
            match response.status().as_u16() {
                200 => None,
                401 => Some(challenge_of(&response).ok_or_else(|| {
                    protocol(&uri, "it wants authentication but does not say which")
                })?),
                404 => return Err(protocol(&uri, "there is no registry API at /v2/")),
                _ => return Err(answer_problem(client, &Wanted::Api, response)),
            };
        settle(response);
        Ok(Self {
            base,
            challenge,
            authorization: None,
            generation: 0,
        })
    }
}

fn may_be_plain(client: &Client, host: &str, problem: &Problem) -> bool {
    let plain = client.uri(&format!("http://{host}"));
    plain.is_ok_and(|uri| client.wire.allows_plain_http(&uri))
        && matches!(
            problem,
            Problem::Tls { .. } | Problem::Connection { .. } | Problem::Timeout { .. }
        )
}

fn challenge_of(response: &Response<Body>) -> Option<Challenge> {
    let values = response.headers().get_all(header::WWW_AUTHENTICATE);
    Challenge::best(values.iter().filter_map(|value| value.to_str().ok()))
}

/// The header that satisfies a challenge.
fn authorize(client: &Client, challenge: Option<&Challenge>) -> Result<Option<String>, Problem> {
    if challenge.is_some() {
        client.find_credentials()?;
    }
    match challenge {
        None => Ok(None),
        Some(Challenge::Bearer(realm)) => {
            let token = fetch_token(client, realm)?;
            Ok(Some(format!("Bearer {token}")))
        }
        // Without a password the request goes out bare, and fails with what the registry says.
        Some(Challenge::Basic) => Ok(client.password().map(basic)),
    }
}

fn basic((user, password): (&str, &str)) -> String {
    let encoded = STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {encoded}")
}

/// What a token server answers. Old ones say `token`, newer ones `access_token`.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

fn fetch_token(client: &Client, realm: &Realm) -> Result<String, Problem> {
    let uri = client.uri(&realm.url)?;
    let response = ask_for_token(client, realm)?;
    if response.status().as_u16() != 200 {
        return Err(answer_problem(client, &Wanted::Token, response));
    }
    let mut body = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(limits::TOKEN)
        .read_to_end(&mut body)
        .map_err(|error| body_problem(&uri, error))?;
    let answer: Token = serde_json::from_slice(&body)
        .map_err(|error| protocol(&uri, format!("malformed token: {error}")))?;
    let token = answer.token.into_iter().chain(answer.access_token);
    token
        .into_iter()
        .find(|token| is_header_safe(token))
        .ok_or_else(|| protocol(&uri, "the token server sent no token"))
}

fn is_header_safe(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())
}

fn ask_for_token(client: &Client, realm: &Realm) -> Result<Response<Body>, Problem> {
    let actions = if client.pushes { "pull,push" } else { "pull" };
    let pull = format!("repository:{}:{actions}", client.name().repository());
    let service = realm.service.as_deref();
    let mut parameters: Vec<(&str, &str)> = Vec::new();
    parameters.extend(service.map(|service| ("service", service)));
    parameters.push(("scope", &pull));
    if let Some(scope) = realm.scope.as_deref().filter(|scope| *scope != pull) {
        parameters.push(("scope", scope));
    }
    if let Some(token) = client.identity_token() {
        parameters.push(("grant_type", "refresh_token"));
        parameters.push(("client_id", CLIENT_ID));
        parameters.push(("refresh_token", token));
        let request = Request {
            form: Some(&parameters),
            ..Request::default()
        };
        return client.wire.send(&client.uri(&realm.url)?, &request);
    }
    let uri = client.uri(&url::with_query(&realm.url, &parameters))?;
    let authorization = client.password().map(basic);
    let request = Request {
        authorization: authorization.as_deref(),
        ..Request::default()
    };
    client.wire.send(&uri, &request)
}

impl Client {
    fn password(&self) -> Option<(&str, &str)> {
        match self.secret()? {
            Secret::Password { user, password } => Some((user, password)),
            Secret::IdentityToken(_) => None,
        }
    }

    fn identity_token(&self) -> Option<&str> {
        match self.secret()? {
            Secret::IdentityToken(token) => Some(token),
            Secret::Password { .. } => None,
        }
    }

    fn secret(&self) -> Option<&Secret> {
        self.credentials.get()?.as_ref().map(|found| &found.secret)
    }

    /// Looks for the credentials, and asks helpers for them, unless that has been done.
    fn find_credentials(&self) -> Result<(), Problem> {
        if self.credentials.get().is_some() {
            return Ok(());
        }
        let mut found = None;
        for candidate in &self.candidates {
            found = self.try_candidate(candidate)?;
            if found.is_some() {
                break;
            }
        }
        // Another thread can only have found the same.
        let _found_twice = self.credentials.set(found);
        Ok(())
    }

    fn try_candidate(&self, candidate: &Lookup) -> Result<Option<Resolved>, Problem> {
        match candidate {
            Lookup::Found(found) => Ok(Some(Resolved {
                secret: found.secret.clone(),
                used: CredentialUse::Entry {
                    origin: found.origin.clone(),
                    key: found.key.clone(),
                },
            })),
            Lookup::Helper {
                origin,
                name,
                server,
            } => {
                let (helper, wanted) = (name.clone(), server.clone());
                let asked = interruptible(&self.interrupt, move || ask(&helper, &wanted))
                    .map_err(Problem::Interrupted)?;
                let secret = asked.map_err(|cause| Problem::Helper(Box::new(cause)))?;
                Ok(secret.map(|secret| Resolved {
                    secret,
                    used: CredentialUse::Helper {
                        origin: origin.clone(),
                        name: name.clone(),
                    },
                }))
            }
        }
    }

    /// What to tell about the credentials when a request fails.
    pub(super) fn credential_use(&self) -> CredentialUse {
        match self.credentials.get() {
            Some(Some(found)) => found.used.clone(),
            _ => CredentialUse::Anonymous,
        }
    }

    /// The address of a server that a message from outside names.
    pub(super) fn uri(&self, url: &str) -> Result<Uri, Problem> {
        let uri = url.parse::<Uri>().ok();
        uri.filter(|uri| matches!(uri.scheme_str(), Some("https" | "http")) && uri.host().is_some())
            .ok_or_else(|| Problem::Protocol {
                host: self.name().registry().to_owned(),
                cause: format!("{url:?} is not a usable address"),
            })
    }
}
