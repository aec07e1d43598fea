use std::collections::BTreeMap;

use ostree_format::gvariant::{Type, Value};
use ostree_format::{Checksum, Metadata};

use crate::{DeltaError, DeltaName};

const KEY: &str = "ostree.static-deltas";

/// The deltas that lead to one commit, with the checksums of their superblocks: a file of `delta-indexes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeltaIndex(pub BTreeMap<DeltaName, Checksum>);

impl DeltaIndex {
    /// The stored form, `a{sv}`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut metadata = Metadata::new();
        metadata.insert(KEY, digests_to_value(&self.0));
        metadata.to_bytes()
    }

    /// Parse the stored form; what is no delta in it is passed over.
    ///
    /// # Errors
    /// [`DeltaError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DeltaError> {
        let what = "index";
        let value = Value::from_bytes_lenient(&Type::vardict(), bytes)
            .map_err(|source| DeltaError::Malformed { what, source })?;
        let metadata = Metadata::from_value(&value).ok_or(DeltaError::InvalidField(what))?;
        let digests = metadata.get(KEY).map(digests_from_value);
        Ok(Self(digests.unwrap_or_default()))
    }
}

/// Checksums of superblocks by delta, as an `a{sv}`: what stands under `ostree.static-deltas` in a summary
/// and in an index.
#[must_use]
pub fn digests_to_value(digests: &BTreeMap<DeltaName, Checksum>) -> Value {
    let mut metadata = Metadata::new();
    for (name, digest) in digests {
        metadata.insert(&name.to_string(), Value::Bytes(digest.as_bytes().to_vec()));
    }
    metadata.to_value()
}

/// The other way; what is no delta is passed over.
#[must_use]
pub fn digests_from_value(value: &Value) -> BTreeMap<DeltaName, Checksum> {
    let metadata = Metadata::from_value(value).unwrap_or_default();
    let pair = |(name, digest): (&str, &Value)| {
        Some((
            name.parse().ok()?,
            Checksum::from_slice(digest.as_bytes()?)?,
        ))
    };
    metadata.iter().filter_map(pair).collect()
}
