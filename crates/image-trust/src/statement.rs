//! What a sigstore bundle says about images: an in-toto statement, as DSSE signs it.

use oci::digest::Digest;
use serde::Deserialize;

/// What cosign says an image signature is.
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    #[serde(default)]
    name: String,
    digest: std::collections::BTreeMap<String, String>,
}

/// What a bundle says about images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The name, if it says one.
    pub(crate) name: Option<String>,
    pub(crate) digest: Digest,
}

/// The images that a statement is about.
pub(crate) fn named(payload: &[u8]) -> Result<Vec<Named>, String> {
    let statement: Statement = serde_json::from_slice(payload)
        .map_err(|cause| format!("its statement is malformed: {cause}"))?;
    // An attestation says something else about an image than that it is signed.
    if statement.predicate_type != SIGN_PREDICATE {
        return Err(format!(
            "it is a statement of type {:?}",
            statement.predicate_type
        ));
    }
    let subjects = statement.subject.into_iter();
    Ok(subjects.filter_map(Subject::named).collect())
}

impl Subject {
    fn named(self) -> Option<Named> {
        let hex = self.digest.get("sha256")?;
        Some(Named {
            name: (!self.name.is_empty()).then_some(self.name),
            digest: format!("sha256:{hex}").parse().ok()?,
        })
    }
}

/// The bytes that DSSE signs (DSSE protocol, "Signature Definition").
pub(crate) fn pre_authentication(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of the DSSE protocol.
    #[test]
    fn what_is_signed_is_as_the_protocol_says() {
        let bytes = pre_authentication("http://example.com/HelloWorld", b"hello world");
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn only_image_signatures_count() {
        let hex = "a".repeat(64);
        let statement = |kind: &str| {
            format!(
                r#"{{"_type": "https://in-toto.io/Statement/v1", "predicateType": "{kind}",
                "subject": [{{"digest": {{"sha256": "{hex}"}}}}]}}"#
            )
        };
        let found = named(statement(SIGN_PREDICATE).as_bytes()).unwrap();
        assert_eq!(found[0].digest.hex(), hex);
        assert_eq!(found[0].name, None);
        assert!(named(statement("https://slsa.dev/provenance/v1").as_bytes()).is_err());
    }
}
