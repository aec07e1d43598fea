//! Entries of a transparency log (Rekor): that it has taken a signature up, and when.
//!
//! A log promises to keep an entry by a signature over it (the "signed entry timestamp"), or proves that
//! it does by a path of hashes up to a signed checkpoint of its tree (RFC 9162, section 2.1.3). Only the
//! promise covers the time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};

use crate::evidence::Evidence;
use crate::key::Key;

mod body;
mod proof;

use proof::Proof;

/// An entry, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    body: Vec<u8>,
    index: i64,
    log: Vec<u8>,
    time: i64,
    promise: Option<Vec<u8>>,
    proof: Option<Proof>,
}

/// The form in annotations of signatures that stand under tags.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Annotation {
    signed_entry_timestamp: String,
    payload: AnnotationPayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnnotationPayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

/// The form in bundles.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BundleEntry {
    #[serde(default, deserialize_with = "whole_number")]
    log_index: i64,
    #[serde(default)]
    log_id: BundleLog,
    #[serde(default, deserialize_with = "whole_number")]
    integrated_time: i64,
    inclusion_promise: Option<BundlePromise>,
    inclusion_proof: Option<proof::BundleProof>,
    canonicalized_body: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundleLog {
    #[serde(default)]
    key_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BundlePromise {
    signed_entry_timestamp: String,
}

impl Entry {
    /// From the annotation of a signature that stands under a tag.
    pub(crate) fn from_annotation(text: &str) -> Result<Self, String> {
        let malformed =
            |cause: &dyn std::fmt::Display| format!("the log's entry is malformed: {cause}");
        let entry: Annotation = serde_json::from_str(text).map_err(|cause| malformed(&cause))?;
        let log = hex::decode(&entry.payload.log_id).map_err(|cause| malformed(&cause))?;
        Ok(Self {
            body: decoded(&entry.payload.body)?,
            index: entry.payload.log_index,
            log,
            time: entry.payload.integrated_time,
            promise: Some(decoded(&entry.signed_entry_timestamp)?),
            proof: None,
        })
    }

    /// From a bundle. `needs_proof`: all but the first version must prove what they claim.
    pub(crate) fn from_bundle(entry: BundleEntry, needs_proof: bool) -> Result<Self, String> {
        let promise = entry.inclusion_promise;
        let promise = promise.map(|promise| decoded(&promise.signed_entry_timestamp));
        let proof = entry.inclusion_proof.map(Proof::from_bundle).transpose()?;
        if needs_proof && proof.is_none() {
            return Err("the log's entry has no inclusion proof".to_owned());
        }
        Ok(Self {
            body: decoded(&entry.canonicalized_body)?,
            index: entry.log_index,
            log: decoded(&entry.log_id.key_id)?,
            time: entry.integrated_time,
            promise: promise.transpose()?,
            proof,
        })
    }

    /// Whether one of the logs vouches for this entry, and it is about the signature that `signer` (a key
    /// or a certificate, in DER) made. The time when it was taken up, if the log vouches for that.
    pub(crate) fn verify(
        &self,
        logs: &[Key],
        evidence: &Evidence,
        signer: &[u8],
    ) -> Result<Option<u64>, String> {
        let (mut vouched, mut time) = (false, None);
        if let Some(promise) = &self.promise {
            let promised = self.promised();
            if !logs.iter().any(|log| log.verifies(&promised, promise)) {
                return Err("no trusted log promised to keep the entry".to_owned());
            }
            vouched = true;
            time = u64::try_from(self.time).ok();
        }
        if let Some(proof) = &self.proof {
            proof.verify(&self.body, logs)?;
            vouched = true;
        }
        if !vouched {
            return Err("the log neither promises nor proves that it has the entry".to_owned());
        }
        body::check(&self.body, evidence, signer)?;
        Ok(time)
    }

    /// What the promise is over: canonical JSON (RFC 8785), which for these members is this.
    fn promised(&self) -> Vec<u8> {
        format!(
            r#"{{"body":"{}","integratedTime":{},"logID":"{}","logIndex":{}}}"#,
            STANDARD.encode(&self.body),
            self.time,
            hex::encode(&self.log),
            self.index
        )
        .into_bytes()
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, String> {
    let decoded = STANDARD.decode(text);
    decoded.map_err(|cause| format!("the log's entry is malformed: {cause}"))
}

/// A number, or its digits: protobuf writes 64 bits as the latter.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Digits(String),
    }
    match Form::deserialize(deserializer)? {
        Form::Number(number) => Ok(number),
        Form::Digits(digits) => digits.parse().map_err(serde::de::Error::custom),
    }
}
