//! Sigstore bundles, versions 0.1 to 0.3: a statement, wrapped in DSSE, with what vouches for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::certificate::Certificate;
use crate::evidence::Evidence;
use crate::log::{BundleEntry, Entry};
use crate::statement;

const IN_TOTO: &str = "application/vnd.in-toto+json";
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// The version that promises of logs are enough for.
const FIRST: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    certificate: Option<RawBytes>,
    x509_certificate_chain: Option<Chain>,
    #[serde(default)]
    tlog_entries: Vec<BundleEntry>,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<RawBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: String,
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

/// What a bundle holds; whether the signature counts is for others to say.
pub(crate) fn parse(bytes: &[u8]) -> Result<Evidence, String> {
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|cause| malformed(&cause))?;
    if !bundle.media_type.starts_with(MEDIA_TYPE) {
        return Err(format!("{:?} is not a sigstore bundle", bundle.media_type));
    }
    let envelope = bundle
        .dsse_envelope
        .ok_or("the bundle holds no statement about an image")?;
    if envelope.payload_type != IN_TOTO {
        return Err(format!("its payload is {:?}", envelope.payload_type));
    }
    let [signature] = envelope.signatures.as_slice() else {
        return Err("the bundle does not hold exactly one signature".to_owned());
    };
    let payload = decoded(&envelope.payload)?;
    let needs_proof = bundle.media_type != FIRST;
    let entries = bundle.verification_material.tlog_entries;
    let entry = |entry: BundleEntry| Entry::from_bundle(entry, needs_proof);
    Ok(Evidence {
        message: statement::pre_authentication(IN_TOTO, &payload),
        payload,
        signature: decoded(&signature.sig)?,
        certificates: certificates(
            bundle.verification_material.certificate,
            bundle.verification_material.x509_certificate_chain,
        ),
        entries: entries.into_iter().map(entry).collect(),
    })
}

fn certificates(
    single: Option<RawBytes>,
    chain: Option<Chain>,
) -> Result<Option<(Certificate, Vec<Certificate>)>, String> {
    let chain = chain.map(|chain| chain.certificates).unwrap_or_default();
    let all = single.into_iter().chain(chain);
    let parse = |raw: RawBytes| {
        let parsed = Certificate::from_der(&decoded(&raw.raw_bytes)?);
        parsed.map_err(|cause| malformed(&cause))
    };
    let mut parsed = all.map(parse);
    let leaf = parsed.next().transpose()?;
    let rest = parsed.collect::<Result<Vec<_>, _>>()?;
    Ok(leaf.map(|leaf| (leaf, rest)))
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|cause| malformed(&cause))
}

fn malformed(cause: &dyn std::fmt::Display) -> String {
    format!("the bundle is malformed: {cause}")
}
