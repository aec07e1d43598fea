//! Credentials for registries, from files in the format of containers-auth.json(5).
//!
//! Docker's `config.json` has the same format with other habits in its keys, which are understood
//! too. Where the files are, and which come first, is the caller's business.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use error_class::{Classified, ErrorClass};
use serde::Deserialize;

mod helper;

pub use helper::HelperError;
pub(crate) use helper::ask;

/// What helpers and Docker's files call Docker Hub.
const DOCKER_HUB_SERVER: &str = "https://index.docker.io/v1/";

/// The credentials that may be used, in the order in which they are asked for.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    places: Vec<Place>,
}

#[derive(Debug, Clone)]
enum Place {
    File(AuthFile),
    Helper { origin: String, name: String },
}

/// One credentials file.
#[derive(Debug, Clone)]
pub struct AuthFile {
    origin: String,
    secrets: BTreeMap<String, Secret>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

/// What proves who we are. Its debug form hides the secret part.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A user name and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that the registry's token server exchanges for access (OAuth2 refresh token).
    IdentityToken(String),
}

/// Credentials that apply to a repository, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub origin: String,
    /// The entry in it.
    pub key: String,
    /// The credentials.
    pub secret: Secret,
}

/// What may have credentials for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// An entry of a file has.
    Found(Found),
    /// A helper program may have.
    Helper {
        /// The file that names the helper.
        origin: String,
        /// The helper's name: the program is `docker-credential-NAME`.
        name: String,
        /// What it is to be asked for.
        server: String,
    },
}

impl Credentials {
    /// No credentials: anonymous access.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// These files, the most important first.
    #[must_use]
    pub fn from_files(files: Vec<AuthFile>) -> Self {
        let places = files.into_iter().map(Place::File).collect();
        Self { places }
    }

    /// These, and helpers that are asked before and after the files. `origin` is the file that names
    /// the helpers.
    #[must_use]
    pub fn with_helpers(self, origin: &str, before: Vec<String>, after: Vec<String>) -> Self {
        let helper = |name| Place::Helper {
            origin: origin.to_owned(),
            name,
        };
        let (before, after) = (before.into_iter(), after.into_iter());
        let places = before.map(helper).chain(self.places);
        Self {
            places: places.chain(after.map(helper)).collect(),
        }
    }

    /// What may have credentials for a repository of a registry (`host[:port]`), in the order in which
    /// it counts: the first that has any decides. In each file that is the helper for the registry,
    /// then the most specific entry (`host/org/name`, then `host/org`, then `host`), then the helper
    /// for everything.
    #[must_use]
    pub fn lookup(&self, registry: &str, repository: &str) -> Vec<Lookup> {
        let of_place = |place: &Place| match place {
            Place::File(file) => file.lookup(registry, repository),
            Place::Helper { origin, name } => vec![Lookup::Helper {
                origin: origin.clone(),
                name: name.clone(),
                server: server(registry),
            }],
        };
        self.places.iter().flat_map(of_place).collect()
    }
}

/// What a helper for everything is asked for.
fn server(registry: &str) -> String {
    match registry {
        "docker.io" => DOCKER_HUB_SERVER.to_owned(),
        other => other.to_owned(),
    }
}

impl AuthFile {
    /// Parses a credentials file. `origin` names it in messages. Entries without credentials, which
    /// Docker leaves beside a helper, are ignored.
    ///
    /// # Errors
    /// It is not JSON of the right form, or an entry's credentials are not decodable.
    pub fn parse(origin: impl Into<String>, bytes: &[u8]) -> Result<Self, AuthFileError> {
        let origin = origin.into();
        let file: JsonFile = match serde_json::from_slice(bytes) {
            Ok(file) => file,
            Err(cause) => return Err(AuthFileError::Json { origin, cause }),
        };
        let mut secrets = BTreeMap::new();
        for (key, entry) in file.auths {
            match entry.secret() {
                Ok(Some(secret)) => drop(secrets.insert(key, secret)),
                Ok(None) => {}
                Err(Undecodable) => return Err(AuthFileError::Entry { origin, key }),
            }
        }
        Ok(Self {
            origin,
            secrets,
            helpers: file.cred_helpers,
            store: file.creds_store.filter(|name| !name.is_empty()),
        })
    }

    fn lookup(&self, registry: &str, repository: &str) -> Vec<Lookup> {
        let of_registry = self.helpers.get(registry).map(|name| Lookup::Helper {
            origin: self.origin.clone(),
            name: name.clone(),
            server: registry.to_owned(),
        });
        let entry = self
            .by_scope(registry, repository)
            .or_else(|| self.by_host(registry));
        let entry = entry.map(|(key, secret)| {
            Lookup::Found(Found {
                origin: self.origin.clone(),
                key: key.clone(),
                secret: secret.clone(),
            })
        });
        let of_all = self.store.as_ref().map(|name| Lookup::Helper {
            origin: self.origin.clone(),
            name: name.clone(),
            server: server(registry),
        });
        of_registry.into_iter().chain(entry).chain(of_all).collect()
    }

    fn by_scope(&self, registry: &str, repository: &str) -> Option<(&String, &Secret)> {
        let full = format!("{registry}/{repository}");
        let mut scope = full.as_str();
        loop {
            if let Some(found) = self.secrets.get_key_value(scope) {
                return Some(found);
            }
            scope = scope.rsplit_once('/')?.0;
        }
    }

    /// Keys as Docker writes them: `https://host/v1/`, and Docker Hub under its other names.
    fn by_host(&self, registry: &str) -> Option<(&String, &Secret)> {
        let wanted = host_key(registry);
        self.secrets
            .iter()
            .find(|(key, _)| url_host(key).is_some_and(|host| host_key(host) == wanted))
    }
}

/// The host of a key that is a URL or nothing but a host; a key with a path is a scope.
fn url_host(key: &str) -> Option<&str> {
    let url = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    match url {
        Some(rest) => rest.split('/').next(),
        None => (!key.contains('/')).then_some(key),
    }
}

fn host_key(host: &str) -> &str {
    match host {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        other => other,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonFile {
    #[serde(default)]
    auths: BTreeMap<String, JsonEntry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct JsonEntry {
    auth: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
}

struct Undecodable;

impl JsonEntry {
    fn secret(self) -> Result<Option<Secret>, Undecodable> {
        if let Some(token) = self.identity_token.filter(|token| !token.is_empty()) {
            return Ok(Some(Secret::IdentityToken(token)));
        }
        let Some(auth) = self.auth.filter(|auth| !auth.is_empty()) else {
            return Ok(None);
        };
        let decoded = STANDARD.decode(auth.trim()).map_err(|_| Undecodable)?;
        let text = String::from_utf8(decoded).map_err(|_| Undecodable)?;
        let (user, password) = text.split_once(':').ok_or(Undecodable)?;
        Ok(Some(Secret::Password {
            user: user.to_owned(),
            // Some writers of these files pad the password with NUL bytes.
            password: password.trim_end_matches('\0').to_owned(),
        }))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password {{ user: {user:?}, .. }}"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(..)"),
        }
    }
}

/// A credentials file is unusable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthFileError {
    /// It is not JSON of the right form.
    #[error("credentials file {origin} is malformed: {cause}")]
    Json {
        /// The file.
        origin: String,
        /// Where and why.
        cause: serde_json::Error,
    },
    /// The `auth` of an entry is not Base64 of `user:password`.
    #[error("credentials file {origin}: entry {key:?} is not decodable")]
    Entry {
        /// The file.
        origin: String,
        /// The entry.
        key: String,
    },
}

impl Classified for AuthFileError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(origin: &str, json: &str) -> AuthFile {
        AuthFile::parse(origin, json.as_bytes()).unwrap()
    }

    fn user(lookups: Vec<Lookup>) -> Option<(String, String)> {
        match lookups.into_iter().next()? {
            Lookup::Found(found) => match found.secret {
                Secret::Password { user, .. } => Some((found.origin, user)),
                Secret::IdentityToken(token) => Some((found.origin, token)),
            },
            Lookup::Helper { .. } => None,
        }
    }

    // auth is `printf NAME:secret | base64`.
    const SCOPED: &str = r#"{"auths": {
        "quay.io/org/name": {"auth": "bmFtZTpzZWNyZXQ="},
        "quay.io/org": {"auth": "b3JnOnNlY3JldA=="},
        "quay.io": {"auth": "aG9zdDpzZWNyZXQ="},
        "localhost:5000": {"auth": "bG9jYWw6c2VjcmV0"},
        "empty.io": {}
    }}"#;

    #[test]
    fn the_most_specific_entry_applies() {
        let credentials = Credentials::from_files(vec![file("a", SCOPED)]);
        for (registry, repository, expected) in [
            ("quay.io", "org/name", Some("name")),
            ("quay.io", "org/name/deeper", Some("name")),
            ("quay.io", "org/other", Some("org")),
            ("quay.io", "organisation/x", Some("host")),
            ("quay.io:443", "org/name", None),
            ("localhost:5000", "os", Some("local")),
            ("localhost", "os", None),
            ("empty.io", "os", None),
            ("elsewhere.io", "quay.io/org", None),
        ] {
            let found = user(credentials.lookup(registry, repository));
            let expected = expected.map(|user| ("a".to_owned(), user.to_owned()));
            assert_eq!(found, expected, "{registry}/{repository}");
        }
    }

    #[test]
    fn keys_as_docker_writes_them_apply() {
        let hub = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="}}}"#;
        let url = r#"{"auths": {"http://reg.io/v2/": {"auth": "dXJsOnNlY3JldA=="}}}"#;
        let credentials = Credentials::from_files(vec![file("a", hub), file("b", url)]);
        let found = |registry| user(credentials.lookup(registry, "library/x")).map(|f| f.1);
        assert_eq!(found("docker.io").as_deref(), Some("hub"));
        assert_eq!(found("reg.io").as_deref(), Some("url"));
        assert_eq!(found("other.io"), None);
    }

    #[test]
    fn the_first_file_that_has_an_entry_decides() {
        let first = r#"{"auths": {"quay.io": {"identitytoken": "refresh"}}}"#;
        let helper = r#"{"credHelpers": {"quay.io": "ecr-login", "reg.io": "pass"}}"#;
        let files = vec![file("1", first), file("2", SCOPED), file("3", helper)];
        let credentials = Credentials::from_files(files);
        let found = user(credentials.lookup("quay.io", "org/name")).unwrap();
        assert_eq!(found, ("1".to_owned(), "refresh".to_owned()));
        let lookups = credentials.lookup("reg.io", "x");
        assert_eq!(lookups, [helper_of("3", "pass", "reg.io")]);
        assert!(Credentials::none().lookup("quay.io", "x").is_empty());
    }

    fn helper_of(origin: &str, name: &str, server: &str) -> Lookup {
        Lookup::Helper {
            origin: origin.to_owned(),
            name: name.to_owned(),
            server: server.to_owned(),
        }
    }

    #[test]
    fn helpers_are_asked_in_their_place() {
        let json = r#"{"auths": {"docker.io": {}}, "credsStore": "all", "credHelpers": {"quay.io": "one"}}"#;
        let credentials = Credentials::from_files(vec![file("1", json)]).with_helpers(
            "conf",
            vec!["before".to_owned()],
            vec!["after".to_owned()],
        );
        let hub = "https://index.docker.io/v1/";
        assert_eq!(
            credentials.lookup("docker.io", "library/x"),
            [
                helper_of("conf", "before", hub),
                helper_of("1", "all", hub),
                helper_of("conf", "after", hub)
            ]
        );
        assert_eq!(
            credentials.lookup("quay.io", "x")[1..3],
            [
                helper_of("1", "one", "quay.io"),
                helper_of("1", "all", "quay.io")
            ]
        );
    }

    #[test]
    fn damaged_files_are_named() {
        for (json, text) in [
            ("[", "credentials file /a is malformed"),
            (
                r#"{"auths": {"q": {"auth": "!"}}}"#,
                "credentials file /a: entry \"q\" is not decodable",
            ),
            (
                r#"{"auths": {"q": {"auth": "bm9jb2xvbg=="}}}"#,
                "credentials file /a: entry \"q\" is not decodable",
            ),
        ] {
            let error = AuthFile::parse("/a", json.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with(text), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let file = file("a", SCOPED);
        let printed = format!("{file:?}");
        assert!(
            printed.contains("local") && !printed.contains("secret\""),
            "{printed}"
        );
    }
}
