//! Addresses of repositories. Pure.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error_class::{Classified, ErrorClass};

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// A server.
    Http(Url),
    /// A directory of this machine.
    Dir(PathBuf),
}

/// The address of something on a server; what is below a repository lies below its URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Without user and password, so that it may be printed.
    text: String,
    /// The value of the header that proves who we are, from the user and the password.
    authorization: Option<String>,
}

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// No URL at all.
    #[error(
        "Failed to parse URI {0:?}: a URL such as https://HOST/PATH or file:///PATH is expected"
    )]
    NoUrl(String),
    /// Another scheme than http, https and file.
    #[error("Invalid URI scheme in {0}")]
    Scheme(String),
}

impl Classified for LocationError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Location {
    pub(crate) fn parse(text: &str) -> Result<Self, LocationError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(LocationError::NoUrl(text.to_owned()));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                Ok(Self::Dir(PathBuf::from(percent_decoded(path))))
            }
            scheme @ ("http" | "https") => {
                let url = Url::new(scheme, rest);
                url.map(Self::Http)
                    .ok_or_else(|| LocationError::NoUrl(text.to_owned()))
            }
            _ => Err(LocationError::Scheme(text.to_owned())),
        }
    }

    /// Printable: without secrets.
    pub(crate) fn shown(&self, below: &str) -> String {
        match self {
            Self::Http(url) => url.below(below).text,
            Self::Dir(path) => format!("file://{}", path.join(below).display()),
        }
    }
}

impl Url {
    fn new(scheme: &str, rest: &str) -> Option<Self> {
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(percent_decoded(user)), host),
            None => (None, authority),
        };
        let text = format!("{scheme}://{host}{}", path.trim_end_matches('/'));
        let valid = !host.is_empty() && text.parse::<ureq::http::Uri>().is_ok();
        valid.then(|| Self {
            text,
            authorization: user.map(|user| format!("Basic {}", STANDARD.encode(user))),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// Something below it; itself for the empty path.
    pub(crate) fn below(&self, path: &str) -> Self {
        let text = if path.is_empty() {
            self.text.clone()
        } else {
            format!("{}/{}", self.text, encoded_path(path))
        };
        Self {
            text,
            authorization: self.authorization.clone(),
        }
    }

    /// What it lies in.
    pub(crate) fn parent(&self) -> Self {
        let after_scheme = self.text.find("://").map_or(0, |at| at + 3);
        let text = match self.text.rfind('/') {
            Some(at) if at > after_scheme => self.text[..at].to_owned(),
            _ => self.text.clone(),
        };
        Self {
            text,
            authorization: self.authorization.clone(),
        }
    }

    /// Host without port, as cookies are bound to it.
    pub(crate) fn host(&self) -> String {
        let uri = self.text.parse::<ureq::http::Uri>().ok();
        let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default();
        host.to_ascii_lowercase()
    }

    pub(crate) fn path(&self) -> String {
        let uri = self.text.parse::<ureq::http::Uri>().ok();
        uri.map_or_else(|| "/".to_owned(), |uri| uri.path().to_owned())
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.text.starts_with("https:")
    }
}

/// Ref names may hold letters outside ASCII.
fn encoded_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+=".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let digits = (byte == b'%').then(|| (ahead.next(), ahead.next()));
        match digits {
            Some((Some(high), Some(low)))
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(value(high) << 4 | value(low));
                bytes = ahead;
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        other => (other.to_ascii_lowercase() - b'a') + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(text: &str) -> Url {
        match Location::parse(text).unwrap() {
            Location::Http(url) => url,
            Location::Dir(_) => panic!("{text}"),
        }
    }

    #[test]
    fn directories_and_servers() {
        let dir = |text: &str| Location::parse(text).unwrap();
        assert_eq!(dir("file:///srv/a%20b"), Location::Dir("/srv/a b".into()));
        assert_eq!(dir("file://localhost/srv"), Location::Dir("/srv".into()));
        let url = http("HTTP://h:80/a/b/");
        assert_eq!(url.as_str(), "http://h:80/a/b");
        assert_eq!(
            url.below("refs/heads/ü").as_str(),
            "http://h:80/a/b/refs/heads/%C3%BC"
        );
        assert_eq!(url.parent().as_str(), "http://h:80/a");
        assert_eq!(http("http://h").parent().as_str(), "http://h");
        assert_eq!(
            (url.host(), url.path()),
            ("h".to_owned(), "/a/b".to_owned())
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        let url = http("https://me:p%40ss@h/x");
        assert_eq!(url.as_str(), "https://h/x");
        // `me:p@ss`
        assert_eq!(url.authorization(), Some("Basic bWU6cEBzcw=="));
        assert_eq!(url.below("y").authorization(), url.authorization());
        assert!(!format!("{url:?}").contains("p@ss"));
    }

    #[test]
    fn refusals() {
        assert!(matches!(
            Location::parse("badscheme://x"),
            Err(LocationError::Scheme(_))
        ));
        for text in ["", "/path", "http://", "http:///x"] {
            assert!(
                matches!(Location::parse(text), Err(LocationError::NoUrl(_))),
                "{text}"
            );
        }
    }
}
