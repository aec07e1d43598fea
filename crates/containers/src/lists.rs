//! The lists of a storage: what it says of its images and layers.
//!
//! Members that are not known here are kept as they are: newer programs write more of them.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::StoreError;

/// The list of images.
pub(crate) const IMAGES: &str = "overlay-images/images.json";
/// The list of layers.
pub(crate) const LAYERS: &str = "overlay-layers/layers.json";
/// The list of layers that do not outlive the system.
pub(crate) const VOLATILE_LAYERS: &str = "overlay-layers/volatile-layers.json";
/// The list of containers.
pub(crate) const CONTAINERS: &str = "overlay-containers/containers.json";

/// Largest list that is read, in bytes.
const LONGEST: u64 = 256 << 20;

/// What is said of an image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct ImageRecord {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub(crate) names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub(crate) names_history: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) layer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) metadata: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub(crate) big_data_names: Vec<String>,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_default"
    )]
    pub(crate) big_data_sizes: BTreeMap<String, u64>,
    #[serde(
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "or_default"
    )]
    pub(crate) big_data_digests: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) created: String,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// What is said of a layer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct LayerRecord {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) parent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) created: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) compressed_diff_digest: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) compressed_size: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) diff_digest: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) diff_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) compression: u64,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub(crate) uidset: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub(crate) gidset: Vec<u32>,
    #[serde(skip_serializing_if = "Map::is_empty", deserialize_with = "or_default")]
    pub(crate) flags: Map<String, Value>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

impl LayerRecord {
    /// Whether whoever wrote it did not come to the end.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.flags.get("incomplete") == Some(&Value::Bool(true))
    }
}

/// What is said of a container, as far as it matters here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerRecord {
    pub(crate) image: String,
}

/// What a list has; nothing when it is not there.
///
/// # Errors
/// It cannot be read or understood.
pub(crate) fn read_list<T: DeserializeOwned>(
    dir: BorrowedFd<'_>,
    path: &'static str,
) -> Result<Vec<T>, StoreError> {
    let bytes = durable::read_optional(dir, Path::new(path), LONGEST)?;
    let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
        return Ok(Vec::new());
    };
    let list: Result<Option<Vec<T>>, _> = serde_json::from_slice(&bytes);
    let list = list.map_err(|source| StoreError::Damaged { path, source })?;
    Ok(list.unwrap_or_default())
}

/// Replaces a list, durably and in one step.
pub(crate) fn write_list<T: Serialize>(
    dir: BorrowedFd<'_>,
    path: &'static str,
    list: &[T],
) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(list).map_err(|source| StoreError::Damaged { path, source })?;
    Ok(durable::publish(dir, Path::new(path), &bytes, 0o600)?)
}

/// Programs in Go write `null` for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_kept() {
        let text = r#"{"id":"a","names":null,"big-data-sizes":null,"read-only":true,"mapped-layers":["x"]}"#;
        let image: ImageRecord = serde_json::from_str(text).unwrap();
        let written: Value = serde_json::to_value(&image).unwrap();
        let expected = serde_json::json!({"id": "a", "read-only": true, "mapped-layers": ["x"]});
        assert_eq!(written, expected);
        let text = r#"{"id":"a","toc-digest":"sha256:1","flags":{"incomplete":true}}"#;
        let layer: LayerRecord = serde_json::from_str(text).unwrap();
        assert!(layer.is_incomplete());
        let written: Value = serde_json::to_value(&layer).unwrap();
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(written, expected);
    }
}
