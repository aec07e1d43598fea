//! Sigstore bundles: what a key vouches for, wrapped in DSSE or as a bare signature over a digest.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci::digest::Digest;
use serde::Deserialize;

use crate::key::Key;

const IN_TOTO: &str = "application/vnd.in-toto+json";
/// What cosign says an image signature is.
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

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

/// The images that a bundle vouches for, and the key among `keys` that signed it.
pub(crate) fn verify<'k>(bytes: &[u8], keys: &'k [Key]) -> Result<(Vec<Named>, &'k Key), String> {
    let malformed = |cause: &dyn std::fmt::Display| format!("the bundle is malformed: {cause}");
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|cause| malformed(&cause))?;
    if !bundle
        .media_type
        .starts_with("application/vnd.dev.sigstore.bundle")
    {
        return Err(format!("{:?} is not a sigstore bundle", bundle.media_type));
    }
    let envelope = bundle
        .dsse_envelope
        .ok_or("the bundle holds no statement about an image")?;
    if envelope.payload_type != IN_TOTO {
        return Err(format!("its payload is {:?}", envelope.payload_type));
    }
    let decode = |text: &str| STANDARD.decode(text).map_err(|cause| malformed(&cause));
    let payload = decode(&envelope.payload)?;
    let signed = pre_authentication(IN_TOTO, &payload);
    let signatures: Result<Vec<_>, _> = envelope
        .signatures
        .iter()
        .map(|entry| decode(&entry.sig))
        .collect();
    let signatures = signatures?;
    let made_by = |key: &&Key| signatures.iter().any(|bytes| key.verifies(&signed, bytes));
    let key = keys.iter().find(made_by).ok_or("no trusted key made it")?;
    Ok((named(&payload)?, key))
}

fn named(payload: &[u8]) -> Result<Vec<Named>, String> {
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
fn pre_authentication(kind: &str, payload: &[u8]) -> Vec<u8> {
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
