//! What an entry of a log is about: a signature, who made it, and what over.
//!
//! Kinds and versions are those of Rekor: `hashedrekord` 0.0.1 and 0.0.2, `dsse` 0.0.1, `intoto` 0.0.2.

use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha384};

use super::decoded;
use crate::evidence::Evidence;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    kind: String,
    api_version: String,
    spec: serde_json::Value,
}

/// `hashedrekord` 0.0.1.
#[derive(Deserialize)]
struct Hashed {
    data: HashedData,
    signature: HashedSignature,
}

#[derive(Deserialize)]
struct HashedData {
    hash: Hash,
}

#[derive(Deserialize)]
struct Hash {
    algorithm: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedSignature {
    content: String,
    public_key: Content,
}

#[derive(Deserialize)]
struct Content {
    content: String,
}

/// `hashedrekord` 0.0.2.
#[derive(Deserialize)]
struct Hashed2 {
    #[serde(rename = "hashedRekordV002")]
    inner: Hashed2Inner,
}

#[derive(Deserialize)]
struct Hashed2Inner {
    data: Hashed2Data,
    signature: Hashed2Signature,
}

#[derive(Deserialize)]
struct Hashed2Data {
    algorithm: String,
    digest: String,
}

#[derive(Deserialize)]
struct Hashed2Signature {
    content: String,
    verifier: Hashed2Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hashed2Verifier {
    public_key: Option<RawBytes>,
    x509_certificate: Option<RawBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: String,
}

/// `dsse` 0.0.1.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dsse {
    payload_hash: Hash,
    signatures: Vec<DsseSignature>,
}

#[derive(Deserialize)]
struct DsseSignature {
    signature: String,
    verifier: String,
}

/// `intoto` 0.0.2.
#[derive(Deserialize)]
struct InToto {
    content: InTotoContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InTotoContent {
    envelope: InTotoEnvelope,
    payload_hash: Hash,
}

#[derive(Deserialize)]
struct InTotoEnvelope {
    signatures: Vec<InTotoSignature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InTotoSignature {
    sig: String,
    public_key: String,
}

/// What all kinds have in common.
#[derive(Debug, PartialEq, Eq)]
struct Logged {
    signature: Vec<u8>,
    /// A key or a certificate, in DER.
    signer: Vec<u8>,
    hash: Vec<u8>,
    over: Over,
}

#[derive(Debug, PartialEq, Eq)]
enum Over {
    /// The message that was signed, by SHA-256.
    Message,
    /// The same by SHA-384.
    Message384,
    /// What the message wraps, by SHA-256.
    Payload,
}

/// Whether the entry is about the signature in `evidence`, made by `signer` (a key or a certificate, in
/// DER).
pub(super) fn check(body: &[u8], evidence: &Evidence, signer: &[u8]) -> Result<(), String> {
    let logged = Logged::parse(body)?;
    let hash = match logged.over {
        Over::Message => Sha256::digest(&evidence.message).to_vec(),
        Over::Message384 => Sha384::digest(&evidence.message).to_vec(),
        Over::Payload => Sha256::digest(&evidence.payload).to_vec(),
    };
    let differs = |what: &str| Err(format!("the log's entry is about another {what}"));
    if logged.signature != evidence.signature {
        return differs("signature");
    }
    if logged.signer != signer {
        return differs("key");
    }
    if logged.hash != hash {
        return differs("statement");
    }
    Ok(())
}

impl Logged {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let malformed = |cause: serde_json::Error| format!("the log's entry is malformed: {cause}");
        let body: Body = serde_json::from_slice(bytes).map_err(malformed)?;
        let spec = body.spec;
        match (body.kind.as_str(), body.api_version.as_str()) {
            ("hashedrekord", "0.0.1") => {
                Self::from_hashed(&serde_json::from_value(spec).map_err(malformed)?)
            }
            ("hashedrekord", "0.0.2") => {
                Self::from_hashed2(serde_json::from_value(spec).map_err(malformed)?)
            }
            ("dsse", "0.0.1") => Self::from_dsse(&serde_json::from_value(spec).map_err(malformed)?),
            ("intoto", "0.0.2") => {
                Self::from_intoto(&serde_json::from_value(spec).map_err(malformed)?)
            }
            (kind, version) => Err(format!(
                "the log's entry is of a kind that is not supported, {kind} {version}"
            )),
        }
    }

    fn from_hashed(spec: &Hashed) -> Result<Self, String> {
        Ok(Self {
            signature: decoded(&spec.signature.content)?,
            signer: signer(&spec.signature.public_key.content)?,
            hash: spec.data.hash.sha256()?,
            over: Over::Message,
        })
    }

    fn from_hashed2(spec: Hashed2) -> Result<Self, String> {
        let Hashed2Inner { data, signature } = spec.inner;
        let verifier = signature.verifier;
        let signer = verifier.public_key.or(verifier.x509_certificate);
        let signer = signer.ok_or("the log's entry does not say who signed")?;
        let over = match data.algorithm.as_str() {
            "SHA2_256" => Over::Message,
            "SHA2_384" => Over::Message384,
            other => return Err(format!("the log's entry has a digest {other}")),
        };
        Ok(Self {
            signature: decoded(&signature.content)?,
            signer: decoded(&signer.raw_bytes)?,
            hash: decoded(&data.digest)?,
            over,
        })
    }

    fn from_dsse(spec: &Dsse) -> Result<Self, String> {
        let [entry] = spec.signatures.as_slice() else {
            return Err("the log's entry has not exactly one signature".to_owned());
        };
        Ok(Self {
            signature: decoded(&entry.signature)?,
            signer: signer(&entry.verifier)?,
            hash: spec.payload_hash.sha256()?,
            over: Over::Payload,
        })
    }

    fn from_intoto(spec: &InToto) -> Result<Self, String> {
        let [entry] = spec.content.envelope.signatures.as_slice() else {
            return Err("the log's entry has not exactly one signature".to_owned());
        };
        // What is Base64 in an envelope is wrapped in it once more.
        let text = decoded(&entry.sig)?;
        Ok(Self {
            signature: decoded(&String::from_utf8_lossy(&text))?,
            signer: signer(&entry.public_key)?,
            hash: spec.content.payload_hash.sha256()?,
            over: Over::Payload,
        })
    }
}

impl Hash {
    fn sha256(&self) -> Result<Vec<u8>, String> {
        if self.algorithm != "sha256" {
            return Err(format!("the log's entry has a digest {}", self.algorithm));
        }
        let bytes = hex::decode(&self.value);
        bytes.map_err(|cause| format!("the log's entry is malformed: {cause}"))
    }
}

/// The DER in a PEM in Base64, a certificate or a key.
fn signer(text: &str) -> Result<Vec<u8>, String> {
    let malformed = || "the log's entry does not say in PEM who signed".to_owned();
    let pem = decoded(text)?;
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(&pem);
    match (sections.next(), sections.next()) {
        (Some(Ok((_, der))), None) => Ok(der),
        _ => Err(malformed()),
    }
}
