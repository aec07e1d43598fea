//! What differs between two images, by their layers.

use std::collections::BTreeSet;

use oci::spec::{Descriptor, ImageManifest};
use serde::Serialize;

/// Layers, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LayerTotal {
    /// How many.
    pub count: u64,
    /// Their bytes, compressed.
    pub bytes: u64,
}

impl LayerTotal {
    fn of(layers: &[&Descriptor]) -> Self {
        Self {
            count: layers.len() as u64,
            bytes: layers.iter().map(|layer| layer.size()).sum(),
        }
    }
}

/// What differs between two images, by the digests of their layers.
#[derive(Debug, Clone)]
pub struct ManifestDiff<'a> {
    /// Layers that only the second has.
    pub added: Vec<&'a Descriptor>,
    /// Layers that only the first has.
    pub removed: Vec<&'a Descriptor>,
    /// Layers of the second that the first has as well.
    pub kept: Vec<&'a Descriptor>,
}

impl<'a> ManifestDiff<'a> {
    /// Compare two manifests. A layer that stands in one of them twice counts once.
    #[must_use]
    pub fn new(from: &'a ImageManifest, to: &'a ImageManifest) -> Self {
        let (before, after) = (digests(from), digests(to));
        let (kept, added) = distinct(to)
            .into_iter()
            .partition(|layer| before.contains(&layer.digest().to_string()));
        let removed = distinct(from)
            .into_iter()
            .filter(|layer| !after.contains(&layer.digest().to_string()));
        Self {
            added,
            removed: removed.collect(),
            kept,
        }
    }

    /// What is to be fetched by whoever has the first image and wants the second.
    #[must_use]
    pub fn total_added(&self) -> LayerTotal {
        LayerTotal::of(&self.added)
    }

    /// What is not needed any more.
    #[must_use]
    pub fn total_removed(&self) -> LayerTotal {
        LayerTotal::of(&self.removed)
    }

    /// What stays.
    #[must_use]
    pub fn total_kept(&self) -> LayerTotal {
        LayerTotal::of(&self.kept)
    }
}

fn digests(manifest: &ImageManifest) -> BTreeSet<String> {
    let digest = |layer: &Descriptor| layer.digest().to_string();
    manifest.layers().iter().map(digest).collect()
}

fn distinct(manifest: &ImageManifest) -> Vec<&Descriptor> {
    let mut seen = BTreeSet::new();
    let mut layers: Vec<&Descriptor> = manifest.layers().iter().collect();
    layers.retain(|layer| seen.insert(layer.digest().to_string()));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(layers: &[(char, u64)]) -> ImageManifest {
        let layers: Vec<_> = layers
            .iter()
            .map(|(digit, size)| {
                let digest = format!("sha256:{}", digit.to_string().repeat(64));
                serde_json::json!({
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": digest, "size": size,
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "schemaVersion": 2,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{}", "0".repeat(64)), "size": 2,
            },
            "layers": layers,
        }))
        .unwrap()
    }

    #[test]
    fn each_layer_counts_once() {
        let from = manifest(&[('a', 1), ('b', 10), ('b', 10)]);
        let to = manifest(&[('b', 10), ('c', 100), ('c', 100), ('d', 1000)]);
        let diff = ManifestDiff::new(&from, &to);
        let total = |count, bytes| LayerTotal { count, bytes };
        assert_eq!(diff.total_added(), total(2, 1100));
        assert_eq!(diff.total_removed(), total(1, 1));
        assert_eq!(diff.total_kept(), total(1, 10));
    }
}
