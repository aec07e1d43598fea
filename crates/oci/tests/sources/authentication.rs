//! Tokens: who gets which credentials, how often, and what happens when they are refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use error_class::{Classified, ErrorClass};
use oci::credentials::{AuthFile, Credentials};
use oci::source::{ImageSource, open};

use crate::scene::{context, read_all};
use crate::server::{Reply, Repository, Request, Server};

/// `printf user:secret | base64`.
const PASSWORD: &str = "dXNlcjpzZWNyZXQ=";

fn credentials(host: &str, entry: &str) -> Credentials {
    let json = format!(r#"{{"auths": {{"{host}": {entry}}}}}"#);
    let file = AuthFile::parse("auth.json", json.as_bytes()).unwrap();
    Credentials::from_files(vec![file])
}

fn password(host: &str) -> Credentials {
    credentials(host, &format!(r#"{{"auth": "{PASSWORD}"}}"#))
}

fn pull(server: &Server, credentials: Credentials) -> Box<dyn ImageSource> {
    let mut context = context();
    context.credentials = credentials;
    let reference = format!("registry:{}/org/os:1", server.host());
    open(&reference.parse().unwrap(), &context).unwrap()
}

/// A registry that wants the token which `token_server` hands out.
fn registry(token_url: String, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    let repository = Repository::new(10_000);
    Server::start(move |request| {
        let token = request
            .header("authorization")
            .and_then(|a| a.strip_prefix("Bearer "));
        if token.is_some_and(&accepts) {
            return repository.reply(request);
        }
        let challenge = format!(r#"Bearer realm="{token_url}",service="the registry""#);
        Reply::new(
            401,
            r#"{"errors": [{"code": "UNAUTHORIZED", "message": "who are you"}]}"#,
        )
        .header("WWW-Authenticate", challenge)
    })
}

fn token_server(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(reply)
}

fn token(text: &str) -> Reply {
    Reply::new(200, format!(r#"{{"token": "{text}", "expires_in": 300}}"#))
}

#[test]
fn a_token_is_fetched_once_and_used_for_everything() {
    let tokens = token_server(|_| token("letmein"));
    let registry = registry(tokens.url("/token?x=y"), |token| token == "letmein");
    let pulled = pull(&registry, password(&registry.host()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| read_all(&*pulled));
        }
    });
    assert_eq!(registry.pings(), 1);
    let [request] = &tokens.requests()[..] else {
        panic!("more than one token was fetched");
    };
    assert_eq!(
        request.target,
        "/token?x=y&service=the%20registry&scope=repository%3Aorg%2Fos%3Apull"
    );
    assert_eq!(
        request.header("authorization").unwrap(),
        format!("Basic {PASSWORD}")
    );
    // The password itself is for the token server alone.
    let leaks = |request: &Request| {
        request
            .header("authorization")
            .unwrap()
            .starts_with("Basic")
    };
    assert!(!registry.requests().iter().any(leaks));
}

#[test]
fn anonymous_tokens_work_without_credentials() {
    let tokens = token_server(|_| Reply::new(200, r#"{"access_token": "anybody"}"#));
    let registry = registry(tokens.url("/token"), |token| token == "anybody");
    read_all(&*pull(&registry, Credentials::none()));
    assert_eq!(tokens.requests()[0].header("authorization"), None);
}

#[test]
fn identity_tokens_are_exchanged_by_post() {
    let tokens = token_server(|_| Reply::new(200, r#"{"access_token": "fresh"}"#));
    let registry = registry(tokens.url("/token"), |token| token == "fresh");
    let identity = credentials(&registry.host(), r#"{"identitytoken": "re/fresh"}"#);
    read_all(&*pull(&registry, identity));
    let request = &tokens.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/token")
    );
    for part in [
        "grant_type=refresh_token",
        "refresh_token=re%2Ffresh",
        "service=the",
    ] {
        assert!(request.body.contains(part), "{}", request.body);
    }
}

#[test]
fn expired_tokens_are_renewed_in_the_middle() {
    let issued = Arc::new(AtomicUsize::new(0));
    let valid = Arc::new(Mutex::new("1".to_owned()));
    let counter = Arc::clone(&issued);
    let tokens = token_server(move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        token(&number.to_string())
    });
    let accepted = Arc::clone(&valid);
    let registry = registry(tokens.url("/token"), move |token| {
        token == *accepted.lock().unwrap()
    });
    let pulled = pull(&registry, Credentials::none());
    pulled.manifest().unwrap();
    *valid.lock().unwrap() = "2".to_owned();
    read_all(&*pulled);
    assert_eq!(issued.load(Ordering::SeqCst), 2);
    *valid.lock().unwrap() = "never".to_owned();
    let error = pulled.manifest().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unauthenticated);
    assert!(
        error.to_string().ends_with("UNAUTHORIZED who are you"),
        "{error}"
    );
    assert_eq!(issued.load(Ordering::SeqCst), 3);
}

#[test]
fn refusals_are_told_apart() {
    for (status, class, message) in [
        (
            401,
            ErrorClass::Unauthenticated,
            "authentication failed, with entry \"127.0.0.1",
        ),
        (
            403,
            ErrorClass::Forbidden,
            "access is denied, with entry \"127.0.0.1",
        ),
        (
            400,
            ErrorClass::Forbidden,
            "refused access token with status 400: no \u{fffd}[31mway",
        ),
        (404, ErrorClass::NotFound, "there is no access token"),
    ] {
        let tokens = token_server(move |_| Reply::new(status, &b"no\r\n\x1b\xff[31mway\0"[..]));
        let registry = registry(tokens.url("/token"), |_| false);
        let pulled = pull(&registry, password(&registry.host()));
        let error = pulled.manifest().unwrap_err();
        assert_eq!(error.class(), class, "{status}");
        let printed = error.to_string();
        assert!(printed.contains(message), "{printed}");
        assert!(!printed.contains(['\x1b', '\r', '\n', '\0']), "{printed:?}");
        assert_eq!(tokens.requests().len(), 1, "{status}");
    }
}

#[test]
fn token_servers_that_talk_nonsense_are_refused() {
    for body in [
        "",
        "[]",
        "{}",
        r#"{"token": ""}"#,
        r#"{"token": "a\nb"}"#,
        r#"{"token": 1}"#,
    ] {
        let tokens = token_server(move |_| Reply::new(200, body));
        let registry = registry(tokens.url("/token"), |_| true);
        let error = pull(&registry, Credentials::none()).manifest().unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unsupported, "{body}: {error}");
    }
    for url in ["", "ftp://x/", "/token", "http://registry.invalid/token"] {
        let registry = registry(url.to_owned(), |_| true);
        let error = pull(&registry, password(&registry.host())).manifest();
        let class = error.unwrap_err().class();
        assert!(
            matches!(class, ErrorClass::Unsupported | ErrorClass::Tls),
            "{url}"
        );
    }
}

#[test]
fn helpers_are_named_when_access_fails() {
    let server =
        Server::start(|_| Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""));
    let json = format!(
        r#"{{"credHelpers": {{"{}": "osxkeychain"}}}}"#,
        server.host()
    );
    let file = AuthFile::parse("config.json", json.as_bytes()).unwrap();
    let pulled = pull(&server, Credentials::from_files(vec![file]));
    let error = pulled.manifest().unwrap_err().to_string();
    assert!(
        error.contains("cannot start docker-credential-osxkeychain"),
        "{error}"
    );
}

#[test]
fn credentials_do_not_follow_redirects_to_other_hosts() {
    let repository = Repository::new(10_000);
    let blobs = repository.clone();
    let elsewhere = Server::start(move |request| blobs.reply(request));
    let target = elsewhere.url("");
    let server = Server::start(move |request| {
        let basic = request.header("authorization") == Some(&format!("Basic {PASSWORD}"));
        match request.target.as_str() {
            _ if !basic => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
            "/v2/" => Reply::new(200, ""),
            // Once on the same host, then away.
            blob if blob.contains("/blobs/") && !blob.contains('?') => {
                Reply::redirect(format!("{blob}?second"))
            }
            blob if blob.contains("/blobs/") => Reply::redirect(format!("{target}{blob}")),
            _ => repository.reply(request),
        }
    });
    let pulled = pull(&server, password(&server.host()));
    read_all(&*pulled);
    let manifest = pulled.manifest().unwrap().manifest;
    let layer = &manifest.layers()[0].descriptor;
    std::io::Read::read_to_end(&mut pulled.open_blob(layer, 1000).unwrap(), &mut vec![]).unwrap();
    let requests = elsewhere.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    assert_eq!(requests[2].header("range"), Some("bytes=1000-"));
}

#[test]
fn a_token_server_cannot_redirect_the_password_away() {
    let thief = Server::start(|_| token("stolen"));
    let target = thief.url("/");
    let tokens = token_server(move |_| Reply::redirect(&target));
    let registry = registry(tokens.url("/token"), |_| true);
    pull(&registry, password(&registry.host()))
        .manifest()
        .unwrap();
    assert_eq!(thief.requests()[0].header("authorization"), None);
    let identity = credentials(&registry.host(), r#"{"identitytoken": "secret"}"#);
    pull(&registry, identity).manifest().unwrap_err();
    assert_eq!(thief.requests().len(), 1);
}
