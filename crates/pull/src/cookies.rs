//! The cookies of a remote: `NAME.cookies.txt` in the repository, in the format of Netscape's browser, which
//! `ostree remote add-cookie` writes and libcurl reads.

use std::os::fd::BorrowedFd;
use std::path::Path;

use error_class::{Classified, ErrorClass};

/// Largest jar that is read, in bytes.
const MAX_JAR: u64 = 1 << 20;

/// How long a new cookie lasts, in years.
const YEARS: u64 = 25;

/// A cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// The host it is for; with a dot in front, also for those below it.
    pub domain: String,
    /// The path that it is for.
    pub path: String,
    /// Whether it is only sent over TLS.
    pub secure: bool,
    /// Until when, in seconds since 1970 UTC.
    pub expires: u64,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A jar could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// There is no such cookie.
    #[error("Cookie not found in jar")]
    NotFound,
    /// A field would break the line that it stands in.
    #[error(
        "{0:?} cannot be part of a cookie: it is empty, or has white space or control characters"
    )]
    Invalid(String),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for CookieError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound => ErrorClass::NotFound,
            Self::Invalid(_) => ErrorClass::InvalidInput,
            Self::Io(error) => error.class(),
        }
    }
}

impl Cookie {
    /// A cookie that is sent to `domain` below `path` for the next 25 years, seen from `now` (seconds since
    /// 1970 UTC).
    ///
    /// # Errors
    /// [`CookieError::Invalid`].
    pub fn new(
        domain: &str,
        path: &str,
        name: &str,
        value: &str,
        now: u64,
    ) -> Result<Self, CookieError> {
        for text in [domain, path, name, value] {
            let bad = |c: char| c.is_whitespace() || c.is_control();
            if text.is_empty() || text.contains(bad) {
                return Err(CookieError::Invalid(text.to_owned()));
            }
        }
        Ok(Self {
            domain: domain.to_owned(),
            path: path.to_owned(),
            secure: false,
            // Leap days included, on average.
            expires: now.saturating_add(YEARS * 31_557_600),
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    fn parse(line: &str) -> Option<Self> {
        // Libcurl marks cookies that scripts may not read this way.
        let line = line.strip_prefix("#HttpOnly_").unwrap_or(line);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [domain, _below, path, secure, expires, name, value] = fields.as_slice() else {
            return None;
        };
        Some(Self {
            domain: (*domain).to_owned(),
            path: (*path).to_owned(),
            secure: *secure == "TRUE",
            expires: expires.parse().ok()?,
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        })
    }

    fn line(&self) -> String {
        let flag = |set: bool| if set { "TRUE" } else { "FALSE" };
        let below = flag(self.domain.starts_with('.'));
        let Self {
            domain,
            path,
            expires,
            name,
            value,
            ..
        } = self;
        let secure = flag(self.secure);
        format!("{domain}\t{below}\t{path}\t{secure}\t{expires}\t{name}\t{value}\n")
    }

    /// Whether it goes with a request.
    fn belongs_to(&self, host: &str, path: &str, secure: bool, now: u64) -> bool {
        let domain = self.domain.to_ascii_lowercase();
        let host_fits = match domain.strip_prefix('.') {
            Some(bare) => host == bare || host.ends_with(&domain),
            None => host == domain,
        };
        let prefix = self.path.trim_end_matches('/');
        let path_fits = path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        // Zero is a cookie of the session, which lasts.
        let lasts = self.expires == 0 || self.expires > now;
        host_fits && path_fits && lasts && (secure || !self.secure)
    }
}

fn jar_name(remote: &str) -> String {
    format!("{remote}.cookies.txt")
}

/// The cookies of `remote` in the repository `dir`.
///
/// # Errors
/// What the system said. No jar is an empty one.
pub fn list(dir: BorrowedFd<'_>, remote: &str) -> Result<Vec<Cookie>, durable::Error> {
    let bytes = durable::read_optional(dir, Path::new(&jar_name(remote)), MAX_JAR)?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    Ok(text.lines().filter_map(Cookie::parse).collect())
}

/// Put a cookie into the jar of `remote`.
///
/// # Errors
/// What the system said; the jar is as it was then.
pub fn add(dir: BorrowedFd<'_>, remote: &str, cookie: Cookie) -> Result<(), durable::Error> {
    let mut cookies = list(dir, remote)?;
    cookies.push(cookie);
    write(dir, remote, &cookies)
}

/// Take a cookie out of the jar of `remote`.
///
/// # Errors
/// [`CookieError::NotFound`], or what the system said; the jar is as it was then.
pub fn delete(
    dir: BorrowedFd<'_>,
    remote: &str,
    domain: &str,
    path: &str,
    name: &str,
) -> Result<(), CookieError> {
    let mut cookies = list(dir, remote)?;
    let before = cookies.len();
    cookies
        .retain(|cookie| (&*cookie.domain, &*cookie.path, &*cookie.name) != (domain, path, name));
    if cookies.len() == before {
        return Err(CookieError::NotFound);
    }
    write(dir, remote, &cookies).map_err(Into::into)
}

fn write(dir: BorrowedFd<'_>, remote: &str, cookies: &[Cookie]) -> Result<(), durable::Error> {
    let text: String = cookies.iter().map(Cookie::line).collect();
    // A jar is a secret: libostree gives it to everybody, we do not.
    durable::publish(dir, Path::new(&jar_name(remote)), text.as_bytes(), 0o600)
}

/// The value of the header `Cookie` of a request, if any cookie goes with it.
pub(crate) fn header(
    cookies: &[Cookie],
    host: &str,
    path: &str,
    secure: bool,
    now: u64,
) -> Option<String> {
    let fitting = cookies
        .iter()
        .filter(|cookie| cookie.belongs_to(host, path, secure, now));
    let pairs: Vec<_> = fitting
        .map(|cookie| format!("{}={}", cookie.name, cookie.value))
        .collect();
    (!pairs.is_empty()).then(|| pairs.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn lines_are_those_of_ostree() {
        // Written by `ostree remote add-cookie origin 127.0.0.1 / foo bar`.
        let line = "127.0.0.1\tFALSE\t/\tFALSE\t2488902000\tfoo\tbar\n";
        let cookie = Cookie::parse(line.trim_end()).unwrap();
        assert_eq!(cookie.line(), line);
        assert_eq!((&*cookie.name, &*cookie.value), ("foo", "bar"));
        assert_eq!(Cookie::parse("# a comment"), None);
    }

    #[test]
    fn cookies_go_where_they_belong() {
        let cookie = |domain: &str, path: &str| Cookie::new(domain, path, "n", "v", NOW).unwrap();
        let sent = |cookie: &Cookie, host: &str, path: &str| {
            header(std::slice::from_ref(cookie), host, path, false, NOW).is_some()
        };
        assert!(sent(&cookie("a.io", "/"), "a.io", "/repo/config"));
        assert!(!sent(&cookie("a.io", "/"), "b.a.io", "/"));
        assert!(sent(&cookie(".a.io", "/"), "b.a.io", "/"));
        assert!(!sent(&cookie(".a.io", "/"), "ba.io", "/"));
        assert!(sent(&cookie("a.io", "/x"), "a.io", "/x/y"));
        assert!(!sent(&cookie("a.io", "/x"), "a.io", "/xy"));
        let mut secure = cookie("a.io", "/");
        secure.secure = true;
        assert!(!sent(&secure, "a.io", "/"));
        let mut old = cookie("a.io", "/");
        old.expires = NOW - 1;
        assert!(!sent(&old, "a.io", "/"));
    }

    #[test]
    fn a_field_cannot_break_out_of_its_line() {
        for bad in ["a b", "a\tb", "a\nb", ""] {
            assert!(Cookie::new("h", "/", bad, "v", NOW).is_err(), "{bad:?}");
        }
    }
}
