//! Proxies, and which servers are reached without.
//!
//! The rules are those that curl, podman and most programs follow for `HTTPS_PROXY`, `HTTP_PROXY` and
//! `NO_PROXY`; the caller reads the variables. Plain HTTP goes through the proxy by `CONNECT` too. A SOCKS proxy
//! (`socks5://`, `socks4://`) is told addresses that were looked up here; one written `socks5h://` or `socks4a://`
//! looks names up itself.

use std::net::IpAddr;

/// Proxies by the scheme of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `https`: an address like `http://user:password@host:port` or `socks5h://host:port`.
    pub https: Option<String>,
    /// For `http`.
    pub http: Option<String>,
    /// Servers that are reached without: names (with everything below them), addresses, networks in
    /// CIDR form, each possibly with a port, separated by commas; `*` stands for all.
    pub except: String,
}

impl Proxies {
    /// The proxy to reach a server by. Servers on this machine are never reached by one.
    #[must_use]
    pub fn for_server(&self, scheme: &str, host: &str, port: u16) -> Option<&str> {
        let chosen = match scheme {
            "https" => self.https.as_deref(),
            _ => self.http.as_deref(),
        };
        let chosen = chosen.filter(|proxy| !proxy.is_empty())?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_local = crate::registry::is_loopback(bare);
        let excepted = || {
            let rules = self.except.split([',', ' ']).map(str::trim);
            rules
                .filter(|rule| !rule.is_empty())
                .any(|rule| is_excepted(rule, bare, port))
        };
        (!is_local && !excepted()).then_some(chosen)
    }
}

fn is_excepted(rule: &str, host: &str, port: u16) -> bool {
    if rule == "*" {
        return true;
    }
    if let (Some((network, bits)), Ok(address)) = (rule.split_once('/'), host.parse::<IpAddr>()) {
        return network
            .parse()
            .is_ok_and(|network| is_in(address, network, bits));
    }
    let (name, of_port) = match rule.rsplit_once(':') {
        Some((name, of_port)) if !name.contains(':') || name.ends_with(']') => {
            (name, Some(of_port))
        }
        _ => (rule, None),
    };
    if of_port.is_some_and(|of_port| of_port.parse() != Ok(port)) {
        return false;
    }
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = name.parse::<IpAddr>() {
        return host.parse() == Ok(address);
    }
    let name = name.trim_start_matches('*').trim_start_matches('.');
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    host.strip_suffix(&name)
        .is_some_and(|below| !name.is_empty() && (below.is_empty() || below.ends_with('.')))
}

fn is_in(address: IpAddr, network: IpAddr, bits: &str) -> bool {
    let Ok(bits) = bits.parse::<u32>() else {
        return false;
    };
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
    };
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_by_proxy(except: &str, host: &str, port: u16) -> bool {
        let proxies = Proxies {
            https: Some("http://p:1".to_owned()),
            http: None,
            except: except.to_owned(),
        };
        proxies.for_server("https", host, port).is_some()
    }

    #[test]
    fn the_scheme_decides_which_proxy() {
        let proxies = Proxies {
            https: Some("http://s".to_owned()),
            http: Some("http://p".to_owned()),
            except: String::new(),
        };
        assert_eq!(proxies.for_server("https", "a.io", 443), Some("http://s"));
        assert_eq!(proxies.for_server("http", "a.io", 80), Some("http://p"));
        assert_eq!(proxies.for_server("http", "localhost", 80), None);
        assert_eq!(proxies.for_server("https", "127.0.0.1", 443), None);
        assert_eq!(Proxies::default().for_server("https", "a.io", 443), None);
    }

    #[test]
    fn exceptions_are_names_with_what_is_below_them_addresses_and_networks() {
        for (except, host, port, by_proxy) in [
            ("", "a.io", 443, true),
            ("*", "a.io", 443, false),
            ("a.io", "a.io", 443, false),
            ("a.io", "b.a.io", 443, false),
            ("a.io", "ba.io", 443, true),
            (".a.io", "b.A.io", 443, false),
            ("*.a.io", "b.a.io", 443, false),
            ("a.io:5000", "a.io", 443, true),
            ("a.io:5000", "a.io", 5000, false),
            ("x.io, a.io", "a.io", 443, false),
            ("10.0.0.0/8", "10.1.2.3", 443, false),
            ("10.0.0.0/8", "11.1.2.3", 443, true),
            ("10.0.0.1", "10.0.0.1", 443, false),
            ("fd00::/8", "[fd12::1]", 443, false),
            ("[fd12::1]:5000", "fd12::1", 5000, false),
            ("fd12::1", "fd12::1", 443, false),
            ("10.0.0.0/99", "10.1.2.3", 443, true),
            (".", "a.io", 443, true),
        ] {
            assert_eq!(
                goes_by_proxy(except, host, port),
                by_proxy,
                "{except:?} {host}"
            );
        }
    }
}
