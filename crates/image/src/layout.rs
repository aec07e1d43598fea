//! Which layers of an image belong to an encapsulated commit.

use error_class::{Classified, ErrorClass};
use oci::digest::Digest;
use oci::spec::ImageConfiguration;

use crate::keys::FINAL_DIFFID_LABEL;

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LayerRole {
    /// The encapsulated commit with its metadata objects, perhaps with content objects.
    Commit,
    /// Content objects of the encapsulated commit.
    Chunk,
    /// An ordinary layer.
    Derived,
}

/// Why the labels of an image do not fit its layers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// The label names a layer that the image does not have.
    #[error("label {FINAL_DIFFID_LABEL} names {0}, which is not a layer of the image")]
    NoSuchLayer(String),
    /// An image without any layer.
    #[error("the image has no layers")]
    NoLayers,
}

impl Classified for LayoutError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// The label `key` of an image.
pub(crate) fn label<'a>(config: &'a ImageConfiguration, key: &str) -> Option<&'a str> {
    let labels = config.config().as_ref()?.labels().as_ref()?;
    labels.get(key).map(String::as_str)
}

/// The label `key` of an image, if it has one.
#[must_use]
pub fn label_of<'a>(config: &'a ImageConfiguration, key: &str) -> Option<&'a str> {
    label(config, key)
}

/// The role of each layer, by the diff_ids in the config.
pub(crate) fn roles(
    config: &ImageConfiguration,
    diff_ids: &[Digest],
) -> Result<Vec<LayerRole>, LayoutError> {
    if diff_ids.is_empty() {
        return Err(LayoutError::NoLayers);
    }
    let Some(last) = label(config, FINAL_DIFFID_LABEL) else {
        return Ok(vec![LayerRole::Derived; diff_ids.len()]);
    };
    let last = diff_ids
        .iter()
        .position(|diff_id| diff_id.to_string() == last)
        .ok_or_else(|| LayoutError::NoSuchLayer(last.to_owned()))?;
    let role = |index| match index {
        0 => LayerRole::Commit,
        index if index <= last => LayerRole::Chunk,
        _ => LayerRole::Derived,
    };
    Ok((0..diff_ids.len()).map(role).collect())
}
