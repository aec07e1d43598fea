//! What a signature says: the JSON of simple signing (containers-signature(5)), which cosign uses too.

use oci::digest::Digest;
use serde::Deserialize;

/// The statement of a signature about one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    /// The name of the image.
    pub(crate) name: String,
    /// The digest of its manifest.
    pub(crate) digest: Digest,
    /// When it was made, if it says so; in seconds since 1970.
    pub(crate) made: Option<u64>,
}

/// The types of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Simple,
    Cosign,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Simple => "atomic container signature",
            Self::Cosign => "cosign container image signature",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    critical: Critical,
    // Of no importance, whatever it holds, but for the time.
    optional: Option<Optional>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    #[serde(rename = "type")]
    kind: String,
    image: Image,
    identity: Name,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Name {
    docker_reference: String,
}

#[derive(Deserialize)]
struct Optional {
    timestamp: Option<serde_json::Value>,
}

impl Payload {
    /// Parses a statement of a kind; what is critical and not understood is refused.
    pub(crate) fn parse(bytes: &[u8], kind: Kind) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|cause| format!("its statement is malformed: {cause}"))?;
        let critical = document.critical;
        if critical.kind != kind.word() {
            return Err(format!(
                "it is a {:?}, not a {:?}",
                critical.kind,
                kind.word()
            ));
        }
        let digest = critical.image.docker_manifest_digest.parse();
        let made = document.optional.and_then(|optional| optional.timestamp);
        Ok(Self {
            name: critical.identity.docker_reference,
            digest: digest.map_err(|cause| format!("its statement is malformed: {cause}"))?,
            made: made.and_then(|made| made.as_u64()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(kind: &str, more: &str) -> String {
        let digest = "f".repeat(64);
        format!(
            r#"{{"critical": {{"type": "{kind}", "image": {{"docker-manifest-digest": "sha256:{digest}"}},
            "identity": {{"docker-reference": "a.io/os:1"}}{more}}}, "optional": {{"timestamp": 5, "x": [1]}}}}"#
        )
    }

    #[test]
    fn statements_are_read() {
        let payload = Payload::parse(
            json("atomic container signature", "").as_bytes(),
            Kind::Simple,
        );
        let payload = payload.unwrap();
        assert_eq!(
            (payload.name.as_str(), payload.made),
            ("a.io/os:1", Some(5))
        );
        let cosign = json("cosign container image signature", "");
        assert!(Payload::parse(cosign.as_bytes(), Kind::Cosign).is_ok());
        assert!(Payload::parse(cosign.as_bytes(), Kind::Simple).is_err());
    }

    #[test]
    fn critical_things_must_be_understood() {
        let more = json("atomic container signature", r#", "expires": 1"#);
        assert!(Payload::parse(more.as_bytes(), Kind::Simple).is_err());
        assert!(Payload::parse(b"{}", Kind::Simple).is_err());
        let null =
            json("atomic container signature", "").replace(r#"{"timestamp": 5, "x": [1]}"#, "null");
        assert_eq!(
            Payload::parse(null.as_bytes(), Kind::Simple).unwrap().made,
            None
        );
    }
}
