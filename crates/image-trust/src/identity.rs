//! For what a signature must be made, so that it counts for an image.

use oci::reference::RegistryReference;
use serde::Deserialize;

/// How the name in a signature must relate to the name of the image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum Identity {
    /// The same repository and tag; an image that is named by digest has none.
    MatchExact,
    /// The same repository and tag, or the same repository when the image is named by digest.
    #[default]
    MatchRepoDigestOrExact,
    /// The same repository.
    MatchRepository,
    /// This very name, whatever the image's is.
    #[serde(rename_all = "camelCase")]
    ExactReference {
        /// The name.
        docker_reference: String,
    },
    /// This repository, whatever the image's is.
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        /// The repository.
        docker_repository: String,
    },
    /// As [`MatchRepoDigestOrExact`](Self::MatchRepoDigestOrExact), after another prefix was put in the
    /// place of the one that the image's name has.
    #[serde(rename_all = "camelCase")]
    RemapIdentity {
        /// What the image's name may begin with.
        prefix: String,
        /// What signatures have in its place.
        signed_prefix: String,
    },
}

impl Identity {
    /// Whether a signature for `signed` counts for the image `wanted`.
    #[must_use]
    pub fn admits(&self, wanted: &RegistryReference, signed: &str) -> bool {
        let Ok(signed) = signed.parse::<RegistryReference>() else {
            return false;
        };
        match self {
            Self::MatchExact => is_exactly(wanted, &signed),
            Self::MatchRepoDigestOrExact => is_repo_digest_or_exactly(wanted, &signed),
            Self::MatchRepository => is_same_repository(wanted, &signed),
            Self::ExactReference { docker_reference } => docker_reference
                .parse()
                .is_ok_and(|expected: RegistryReference| expected == signed),
            Self::ExactRepository { docker_repository } => docker_repository
                .parse()
                .is_ok_and(|expected| is_same_repository(&expected, &signed)),
            Self::RemapIdentity {
                prefix,
                signed_prefix,
            } => remapped(wanted, prefix, signed_prefix)
                .is_some_and(|wanted| is_repo_digest_or_exactly(&wanted, &signed)),
        }
    }
}

fn is_same_repository(a: &RegistryReference, b: &RegistryReference) -> bool {
    (a.registry(), a.repository()) == (b.registry(), b.repository())
}

/// The tag that is meant when none is given; none for what is named by digest.
fn tag(reference: &RegistryReference) -> Option<&str> {
    match reference.digest() {
        Some(_) => None,
        None => Some(reference.tag().unwrap_or("latest")),
    }
}

/// A name in a signature must have the tag in so many words.
fn is_exactly(wanted: &RegistryReference, signed: &RegistryReference) -> bool {
    let tags_agree = tag(wanted).is_some() && tag(wanted) == signed.tag();
    is_same_repository(wanted, signed) && tags_agree
}

fn is_repo_digest_or_exactly(wanted: &RegistryReference, signed: &RegistryReference) -> bool {
    match wanted.digest() {
        Some(_) => is_same_repository(wanted, signed),
        None => is_exactly(wanted, signed),
    }
}

/// The image's name with another prefix; the same name when it does not have the prefix.
fn remapped(wanted: &RegistryReference, from: &str, to: &str) -> Option<RegistryReference> {
    let text = wanted.to_string();
    match text.strip_prefix(from) {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', ':', '@']) => {
            format!("{to}{rest}").parse().ok()
        }
        _ => Some(wanted.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(identity: &str, wanted: &str, signed: &str) -> bool {
        let identity: Identity = serde_json::from_str(identity).unwrap();
        identity.admits(&wanted.parse().unwrap(), signed)
    }

    const DIGEST: &str = "@sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    // The table of containers-policy.json(5), section "signedIdentity".
    #[test]
    fn names_relate_as_the_manual_says() {
        let exact = r#"{"type": "matchExact"}"#;
        let default = r#"{"type": "matchRepoDigestOrExact"}"#;
        let repository = r#"{"type": "matchRepository"}"#;
        let pinned = format!("a.io/os{DIGEST}");
        for (identity, wanted, signed, expected) in [
            (exact, "a.io/os:1", "a.io/os:1", true),
            (exact, "a.io/os", "a.io/os:latest", true),
            (exact, "a.io/os:1", "a.io/os:2", false),
            (exact, "a.io/os:1", "a.io/os", false),
            (exact, pinned.as_str(), "a.io/os:1", false),
            (default, "a.io/os:1", "a.io/os:1", true),
            (default, "a.io/os:1", "a.io/os", false),
            (default, pinned.as_str(), "a.io/os:2", true),
            (default, pinned.as_str(), "b.io/os:2", false),
            (repository, "a.io/os:1", "a.io/os:2", true),
            (repository, "a.io/os:1", "a.io/os", true),
            (repository, "a.io/os:1", "a.io/os2", false),
            (repository, "busybox", "docker.io/library/busybox:1", true),
            (repository, "a.io/os", "not a name", false),
        ] {
            assert_eq!(
                admits(identity, wanted, signed),
                expected,
                "{identity} {wanted} {signed}"
            );
        }
    }

    #[test]
    fn a_policy_can_name_what_is_signed() {
        let reference = r#"{"type": "exactReference", "dockerReference": "b.io/os:2"}"#;
        assert!(admits(reference, "a.io/os:1", "b.io/os:2"));
        assert!(!admits(reference, "b.io/os:1", "b.io/os:1"));
        let repository = r#"{"type": "exactRepository", "dockerRepository": "b.io/os"}"#;
        assert!(admits(repository, "a.io/os:1", "b.io/os:7"));
        assert!(!admits(repository, "a.io/os:1", "a.io/os:1"));
        let remap = r#"{"type": "remapIdentity", "prefix": "m.io/a", "signedPrefix": "a.io"}"#;
        assert!(admits(remap, "m.io/a/os:1", "a.io/os:1"));
        assert!(!admits(remap, "m.io/a/os:1", "a.io/os:2"));
        assert!(admits(remap, "x.io/os:1", "x.io/os:1"));
        assert!(!admits(remap, "m.io/ab/os:1", "a.iob/os:1"));
    }
}
