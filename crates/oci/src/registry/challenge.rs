//! `WWW-Authenticate`: how a registry wants to be convinced (RFC 9110, section 11.6.1, and the
//! distribution project's token specification).

use std::collections::BTreeMap;

/// A way of authentication that we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Get a token from this server first.
    Bearer(Realm),
    /// Send user name and password.
    Basic,
}

/// Where and for what a token is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Realm {
    /// The URL of the token server.
    pub(super) url: String,
    /// What the registry is called there.
    pub(super) service: Option<String>,
    /// What the request would have needed.
    pub(super) scope: Option<String>,
}

impl Challenge {
    /// The best of the challenges in these header values: a token rather than a password.
    pub(super) fn best<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let known: Vec<_> = values.flat_map(parse).filter_map(known).collect();
        let bearer = known.iter().find(|c| matches!(c, Self::Bearer(_)));
        bearer.or(known.first()).cloned()
    }
}

fn known((scheme, mut parameters): (String, BTreeMap<String, String>)) -> Option<Challenge> {
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer(Realm {
            url: parameters.remove("realm")?,
            service: parameters.remove("service"),
            scope: parameters.remove("scope"),
        })),
        _ => None,
    }
}

/// Schemes, lower case, with their parameters.
fn parse(value: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut challenges: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    for element in elements(value) {
        let (first, rest) = match element.split_once(char::is_whitespace) {
            // `name =value` is not a scheme.
            Some((first, rest)) if !rest.trim_start().starts_with('=') => (first, rest.trim()),
            _ => (element, ""),
        };
        let parameter = if first.contains('=') {
            element
        } else {
            challenges.push((first.to_ascii_lowercase(), BTreeMap::new()));
            rest
        };
        if let (Some((name, value)), Some((_, parameters))) =
            (parameter.split_once('='), challenges.last_mut())
        {
            let name = name.trim().to_ascii_lowercase();
            parameters.insert(name, unquoted(value.trim()));
        }
    }
    challenges
}

/// The parts between commas that are outside quotes.
fn elements(value: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in value.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                elements.push(value[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    elements.push(value[start..].trim());
    elements.retain(|element| !element.is_empty());
    elements
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.extend(chars.next()),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(url: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer(Realm {
            url: url.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn real_challenges_are_understood() {
        for (values, expected) in [
            (
                // Docker Hub
                &[r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io""#][..],
                bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    None,
                ),
            ),
            (
                // docker-registry with htpasswd
                &[r#"Basic realm="basic-realm""#],
                Challenge::Basic,
            ),
            (
                &[r#"BEARER Realm = "https://t.io/a,b\"c" , scope="repository:a/b:pull,push""#],
                bearer(
                    r#"https://t.io/a,b"c"#,
                    None,
                    Some("repository:a/b:pull,push"),
                ),
            ),
            (
                // Several in one header, and in several
                &[r#"Negotiate, Basic realm="x", charset="UTF-8", Bearer realm=https://t.io"#],
                bearer("https://t.io", None, None),
            ),
            (
                &["Digest realm=\"d\", nonce=\"a,b\"", "Basic realm=\"x\""],
                Challenge::Basic,
            ),
        ] {
            let best = Challenge::best(values.iter().copied());
            assert_eq!(best, Some(expected), "{values:?}");
        }
    }

    #[test]
    fn anything_else_is_no_challenge() {
        for value in [
            "",
            ",",
            "Negotiate",
            "Bearer service=x",
            "realm=x",
            "\"",
            "Bearer realm",
        ] {
            assert_eq!(Challenge::best([value].into_iter()), None, "{value}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_is_a_surprise(value in r#"([a-zA-Z]* ?[a-z=",\\ é]{0,12})*"#) {
            for (scheme, _) in parse(&value) {
                proptest::prop_assert!(!scheme.contains(char::is_whitespace));
            }
        }
    }
}
