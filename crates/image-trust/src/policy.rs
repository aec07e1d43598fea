//! containers-policy.json(5).

use std::collections::BTreeMap;

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

use crate::identity::Identity;

mod sigstore;

pub use sigstore::{Fulcio, Pki, SigstoreSigned};

/// What images must be signed with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// One demand; an image must meet all that apply to it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum Requirement {
    /// None at all.
    InsecureAcceptAnything,
    /// One that nothing meets.
    Reject,
    /// A GPG signature by one of the keys.
    #[serde(rename_all = "camelCase")]
    SignedBy {
        /// Always `GPGKeys`.
        key_type: KeyType,
        /// A file with keys.
        key_path: Option<String>,
        /// Files with keys, of which any will do.
        key_paths: Option<Vec<String>>,
        /// Keys, as Base64.
        key_data: Option<String>,
        /// For what the signature must be.
        #[serde(default)]
        signed_identity: Identity,
    },
    /// A sigstore signature by one of the keys or authorities.
    SigstoreSigned(Box<SigstoreSigned>),
}

/// Kinds of GPG keys; one is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyType {
    /// OpenPGP keys in the form that `gpg --export` writes.
    #[serde(rename = "GPGKeys")]
    GpgKeys,
}

impl Policy {
    /// Parses a policy. `origin` names it in messages. Anything that is not understood is refused, as it
    /// may be a demand.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(origin: &str, bytes: &[u8]) -> Result<Self, PolicyError> {
        let malformed = |cause: String| PolicyError {
            origin: origin.to_owned(),
            cause,
        };
        let policy: Self =
            serde_json::from_slice(bytes).map_err(|cause| malformed(cause.to_string()))?;
        let scoped = policy.transports.values().flat_map(BTreeMap::values);
        for requirements in scoped.chain([&policy.default]) {
            if requirements.is_empty() {
                return Err(malformed("a list of requirements is empty".to_owned()));
            }
            for requirement in requirements {
                requirement
                    .check()
                    .map_err(|cause| malformed(cause.to_owned()))?;
            }
        }
        Ok(policy)
    }

    /// What applies to an image of a transport, and the scope that says so: the first of `scopes` that
    /// the policy knows, then the transport as a whole, then everything.
    #[must_use]
    pub fn requirements(&self, transport: &str, scopes: &[String]) -> (String, &[Requirement]) {
        if let Some(of_transport) = self.transports.get(transport) {
            let all = String::new();
            for scope in scopes.iter().chain([&all]) {
                if let Some(requirements) = of_transport.get(scope) {
                    return (format!("{transport}:{scope}"), requirements);
                }
            }
        }
        ("default".to_owned(), &self.default)
    }

    /// Whether what no scope covers is accepted unsigned: such a policy vouches for nothing.
    #[must_use]
    pub fn accepts_by_default(&self) -> bool {
        self.default
            .iter()
            .all(|requirement| *requirement == Requirement::InsecureAcceptAnything)
    }
}

impl Requirement {
    /// The word for it in a policy.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InsecureAcceptAnything => "insecureAcceptAnything",
            Self::Reject => "reject",
            Self::SignedBy { .. } => "signedBy",
            Self::SigstoreSigned(_) => "sigstoreSigned",
        }
    }

    /// Exactly one source of keys must be given.
    fn check(&self) -> Result<(), &'static str> {
        let given = match self {
            Self::InsecureAcceptAnything | Self::Reject => return Ok(()),
            Self::SignedBy {
                key_path,
                key_paths,
                key_data,
                ..
            } => [key_path.is_some(), key_paths.is_some(), key_data.is_some()],
            Self::SigstoreSigned(requirement) => return requirement.check(),
        };
        match given.into_iter().filter(|given| *given).count() {
            1 => Ok(()),
            _ => Err("a requirement needs exactly one of its kinds of keys"),
        }
    }
}

/// A policy cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image policy {origin} is malformed: {cause}")]
pub struct PolicyError {
    origin: String,
    cause: String,
}

impl Classified for PolicyError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Policy, PolicyError> {
        Policy::parse("/p", json.as_bytes())
    }

    #[test]
    fn the_most_specific_scope_applies() {
        let policy = parse(
            r#"{"default": [{"type": "reject"}], "transports": {"docker": {
                "a.io/org": [{"type": "insecureAcceptAnything"}],
                "a.io/org/os": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}],
                "": [{"type": "reject"}, {"type": "reject"}]
            }}}"#,
        )
        .unwrap();
        let scope = |scopes: &[&str]| {
            let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            policy.requirements("docker", &scopes).0
        };
        assert_eq!(
            scope(&["a.io/org/os:1", "a.io/org/os", "a.io/org"]),
            "docker:a.io/org/os"
        );
        assert_eq!(
            scope(&["a.io/org/x", "a.io/org", "a.io"]),
            "docker:a.io/org"
        );
        assert_eq!(scope(&["b.io"]), "docker:");
        assert_eq!(policy.requirements("oci", &[]).0, "default");
        assert!(!policy.accepts_by_default());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "{}",
            r#"{"default": []}"#,
            r#"{"default": [{"type": "maybe"}]}"#,
            r#"{"default": [{"type": "reject"}], "extra": 1}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys"}]}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "X", "keyPath": "/k"}]}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k", "keyData": "x"}]}"#,
            r#"{"default": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k", "not": 1}]}"#,
            r#"{"default": [{"type": "sigstoreSigned"}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "signedIdentity": {"type": "x"}}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k", "not": 1}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPaths": []}]}"#,
            r#"{"default": [{"type": "sigstoreSigned", "keyPath": "/k",
                "rekorPublicKeyPath": "/r", "rekorPublicKeyData": "cg=="}]}"#,
        ] {
            let error = parse(bad).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with("image policy /p is malformed: "),
                "{bad}"
            );
        }
    }

    #[test]
    fn authorities_need_a_name_and_fulcio_a_log() {
        let with = |more: &str| {
            let text = format!(r#"{{"default": [{{"type": "sigstoreSigned", {more}}}]}}"#);
            parse(&text)
        };
        let log = r#""rekorPublicKeyPath": "/r""#;
        for (more, good) in [
            (format!(r#""fulcio": {{"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"}}, {log}"#), true),
            (format!(r#""fulcio": {{"caData": "/c", "oidcIssuer": "i", "subjectURI": "u"}}, {log}"#), true),
            (format!(r#""fulcio": {{"caPath": "/c", "oidcIssuer": "i", "buildSignerURI": "u"}}, {log}"#), true),
            (r#""fulcio": {"caPath": "/c", "oidcIssuer": "i", "subjectEmail": "e"}"#.to_owned(), false),
            (format!(r#""fulcio": {{"caPath": "/c", "oidcIssuer": "i"}}, {log}"#), false),
            (format!(r#""fulcio": {{"caPath": "/c", "oidcIssuer": "i", "subjectEmail": ""}}, {log}"#), false),
            (format!(r#""fulcio": {{"caPath": "/c", "subjectEmail": "e"}}, {log}"#), false),
            (format!(r#""fulcio": {{"oidcIssuer": "i", "subjectEmail": "e"}}, {log}"#), false),
            (format!(r#""fulcio": {{"caPath": "/c", "oidcIssuer": "i", "subjectRegExp": "e"}}, {log}"#), false),
            (r#""pki": {"caRootsPath": "/c", "subjectEmail": "e"}"#.to_owned(), true),
            (r#""pki": {"caRootsData": "/c", "caIntermediatesPath": "/i", "subjectHostname": "h"}"#.to_owned(), true),
            (format!(r#""pki": {{"caRootsPath": "/c", "subjectEmail": "e"}}, {log}"#), false),
            (r#""pki": {"caRootsPath": "/c"}"#.to_owned(), false),
            (r#""pki": {"subjectEmail": "e"}"#.to_owned(), false),
            (r#""pki": {"caRootsPath": "/c", "caIntermediatesPath": "/i", "caIntermediatesData": "x", "subjectEmail": "e"}"#.to_owned(), false),
        ] {
            assert_eq!(with(&more).is_ok(), good, "{more}");
        }
    }
}
