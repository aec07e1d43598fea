//! Addresses: what counts as the same server, what may be spoken to without TLS, where a redirect
//! leads.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ureq::http::Uri;

/// Where Docker Hub's registry really is.
const DOCKER_HUB_REGISTRY: &str = "registry-1.docker.io";

/// The host to connect to for a registry.
pub(super) fn registry_host(registry: &str) -> &str {
    match registry {
        "docker.io" => DOCKER_HUB_REGISTRY,
        other => other,
    }
}

/// Scheme, host and port: what credentials are bound to.
pub(super) fn origin(uri: &Uri) -> (String, String, u16) {
    let scheme = uri.scheme_str().unwrap_or_default().to_ascii_lowercase();
    let default = if scheme == "https" { 443 } else { 80 };
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    (scheme, host, uri.port_u16().unwrap_or(default))
}

/// Host and port as written, for messages.
pub(super) fn shown_host(uri: &Uri) -> String {
    uri.authority()
        .map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default())
        .unwrap_or_default()
        .to_owned()
}

/// Whether a server is on this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => bare == "localhost" || bare.ends_with(".localhost"),
    }
}

/// Whether a server is marked as insecure, as `host` or as `host:port`.
pub(super) fn is_insecure(uri: &Uri, insecure_hosts: &BTreeSet<String>) -> bool {
    let (_, host, port) = origin(uri);
    insecure_hosts.contains(&format!("{host}:{port}")) || insecure_hosts.contains(&host)
}

/// Where a `Location` header leads, seen from `base` (RFC 3986, section 5); none when it makes no
/// sense.
pub(super) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let full = if let Some((foreign, _)) = location.split_once("://")
        && foreign.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        if !matches!(foreign, "http" | "https") {
            return None;
        }
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let parent = base
            .path()
            .rsplit_once('/')
            .map_or("", |(parent, _)| parent);
        format!("{scheme}://{authority}{parent}/{location}")
    };
    let without_fragment = full.split('#').next()?;
    let uri: Uri = without_fragment.parse().ok()?;
    uri.host()
        .is_some_and(|host| !host.is_empty())
        .then_some(uri)
}

/// A URL with more query parameters, their values encoded.
pub(super) fn with_query(url: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = url.to_owned();
    for (name, value) in parameters {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(name);
        url.push('=');
        url.push_str(&encoded(value));
    }
    url
}

/// Percent-encodes everything that is not unreserved (RFC 3986, section 2.3).
fn encoded(value: &str) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _infallible = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_the_rfc_says() {
        let base: Uri = "https://reg.io:5000/v2/a/blobs/x?y=z".parse().unwrap();
        for (location, expected) in [
            ("http://cdn.io/blob?sig=1", "http://cdn.io/blob?sig=1"),
            ("//cdn.io/blob", "https://cdn.io/blob"),
            ("/other", "https://reg.io:5000/other"),
            ("other", "https://reg.io:5000/v2/a/blobs/other"),
            ("?page=2", "https://reg.io:5000/v2/a/blobs/x?page=2"),
            ("/x#part", "https://reg.io:5000/x"),
        ] {
            assert_eq!(join(&base, location).unwrap().to_string(), expected);
        }
        for bad in [
            "http://",
            "https:///path",
            "http://a b/",
            "ftp://a/",
            "file:///etc",
        ] {
            assert_eq!(join(&base, bad), None, "{bad}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for local in [
            "localhost",
            "127.0.0.1",
            "127.8.8.8",
            "[::1]",
            "reg.localhost",
        ] {
            assert!(is_loopback(local), "{local}");
        }
        for remote in [
            "localhost.evil.io",
            "127.0.0.1.evil.io",
            "10.0.0.1",
            "[::2]",
            "",
        ] {
            assert!(!is_loopback(remote), "{remote}");
        }
    }

    #[test]
    fn insecure_hosts_are_matched_with_and_without_port() {
        let hosts: BTreeSet<_> = ["a.io", "b.io:5000"].map(str::to_owned).into();
        let insecure = |url: &str| is_insecure(&url.parse().unwrap(), &hosts);
        assert!(insecure("http://a.io/"));
        assert!(insecure("https://A.io:99/"));
        assert!(insecure("http://b.io:5000/"));
        assert!(!insecure("http://b.io/"));
        assert!(!insecure("http://xa.io/"));
    }

    #[test]
    fn ports_are_part_of_the_origin() {
        let of = |url: &str| origin(&url.parse().unwrap());
        assert_eq!(of("https://a.io/x"), of("https://A.io:443/y"));
        assert_ne!(of("https://a.io/"), of("http://a.io/"));
        assert_ne!(of("https://a.io/"), of("https://a.io:444/"));
    }

    #[test]
    fn parameters_are_encoded() {
        let url = with_query("https://t.io/x?a=b", &[("scope", "repository:a/b:pull")]);
        assert_eq!(url, "https://t.io/x?a=b&scope=repository%3Aa%2Fb%3Apull");
        let url = with_query("https://t.io/x", &[("service", "a b"), ("s", "é")]);
        assert_eq!(url, "https://t.io/x?service=a%20b&s=%C3%A9");
    }

    proptest::proptest! {
        #[test]
        fn redirects_lead_to_a_host_or_nowhere(location in r"[a-z0-9:/?#@.%\[\] é]{0,30}") {
            let base: Uri = "https://reg.io/v2/a?b".parse().unwrap();
            if let Some(target) = join(&base, &location) {
                proptest::prop_assert!(matches!(target.scheme_str(), Some("http" | "https")));
                proptest::prop_assert!(!target.host().unwrap().is_empty());
            }
        }
    }
}
