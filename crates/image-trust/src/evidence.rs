//! What a sigstore signature brings along.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::{self, Certificate};
use crate::log::Entry;

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";

/// A signature with what may vouch for it. Nothing of it is verified. What cannot be read is an error
/// only for those who ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// What is signed.
    pub(crate) message: Vec<u8>,
    /// The statement in it.
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    /// The signer's, and those between it and a root.
    pub(crate) certificates: Result<Option<(Certificate, Vec<Certificate>)>, String>,
    /// That a transparency log has taken the signature up.
    pub(crate) entries: Result<Vec<Entry>, String>,
}

impl Evidence {
    /// Of a signature that stands under a tag; none when the annotations hold no signature.
    pub(crate) fn from_annotations(
        payload: &[u8],
        annotations: &HashMap<String, String>,
    ) -> Option<Self> {
        let entry = annotations.get(LOG_ENTRY);
        let entry = entry.map(|text| Entry::from_annotation(text));
        Some(Self {
            message: payload.to_vec(),
            payload: payload.to_vec(),
            signature: STANDARD.decode(annotations.get(SIGNATURE)?).ok()?,
            certificates: certificates(annotations),
            entries: entry.into_iter().collect(),
        })
    }
}

/// The last of a chain is the root, which is not taken from there.
fn certificates(
    annotations: &HashMap<String, String>,
) -> Result<Option<(Certificate, Vec<Certificate>)>, String> {
    let Some(text) = annotations.get(CERTIFICATE) else {
        return Ok(None);
    };
    let mut own = certificate::from_pem("the signature's annotation", text.as_bytes())?;
    let (Some(leaf), true) = (own.pop(), own.is_empty()) else {
        return Err("the signature has more than one certificate".to_owned());
    };
    let chain = annotations.get(CHAIN).filter(|text| !text.is_empty());
    let chain = chain.map(|text| certificate::from_pem("the signature's chain", text.as_bytes()));
    let mut chain = chain.transpose()?.unwrap_or_default();
    chain.pop();
    Ok(Some((leaf, chain)))
}
