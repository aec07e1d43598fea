//! How a stored image was made, layer by layer.

use oci::reference::ImageReference;
use oci::spec::{Descriptor, History as OciHistory};
use ostree::Repo;
use serde::Serialize;

use crate::stored::{StoredError, stored};
use crate::text::text;

/// How an image was made (`docs/image-history.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct History {
    schema: &'static str,
    /// The image.
    #[serde(serialize_with = "text")]
    pub image: ImageReference,
    /// Its layers, the lowest first.
    pub layers: Vec<LayerHistory>,
}

/// A layer of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerHistory {
    /// The digest of the blob.
    pub digest: String,
    /// The size of the blob in bytes.
    pub size: u64,
    /// What made it, as far as the image tells.
    pub created_by: Option<String>,
    /// When, as far as the image tells (RFC 3339).
    pub created: Option<String>,
    /// A remark of whoever made it.
    pub comment: Option<String>,
}

/// Tells how a stored image was made.
///
/// # Errors
/// [`StoredError`].
pub fn image_history(repo: &Repo, image: &ImageReference) -> Result<History, StoredError> {
    let state = stored(repo, image)?;
    let history = state.configuration.history().as_deref().unwrap_or_default();
    Ok(History {
        schema: "bootroot.image-history/1",
        image: image.clone(),
        layers: layers(state.manifest.layers(), history),
    })
}

/// Entries of the history that made no layer stand between the others and are passed over.
fn layers(layers: &[Descriptor], history: &[OciHistory]) -> Vec<LayerHistory> {
    let mut history = history
        .iter()
        .filter(|entry| !entry.empty_layer().unwrap_or(false));
    let described = layers.iter().map(|layer| described(layer, history.next()));
    described.collect()
}

fn described(layer: &Descriptor, entry: Option<&OciHistory>) -> LayerHistory {
    LayerHistory {
        digest: layer.digest().to_string(),
        size: layer.size(),
        created_by: entry.and_then(|entry| entry.created_by().clone()),
        created: entry.and_then(|entry| entry.created().clone()),
        comment: entry.and_then(|entry| entry.comment().clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_without_a_layer_are_passed_over() {
        let digest = |byte: &str| format!("sha256:{}", byte.repeat(32));
        let descriptor = |byte: &str| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(byte), "size": 7});
        let descriptors: Vec<Descriptor> = serde_json::from_value(json!([
            descriptor("aa"),
            descriptor("bb"),
            descriptor("cc")
        ]))
        .unwrap();
        let history: Vec<OciHistory> = serde_json::from_value(json!([
            {"created_by": "one"},
            {"created_by": "ENV x=y", "empty_layer": true},
            {"created_by": "two", "comment": "c"},
        ]))
        .unwrap();
        let found = layers(&descriptors, &history);
        let made_by: Vec<Option<&str>> = found
            .iter()
            .map(|layer| layer.created_by.as_deref())
            .collect();
        assert_eq!(made_by, [Some("one"), Some("two"), None]);
        assert_eq!((found[1].digest.clone(), found[1].size), (digest("bb"), 7));
    }
}
