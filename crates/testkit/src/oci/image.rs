//! One image: layers, configuration, manifest.

use serde_json::{Value, json};

use super::{Layer, digest};

/// An image to be put into a [`LayoutBuilder`](super::LayoutBuilder).
#[derive(Debug, Clone)]
pub struct Image {
    pub(super) layers: Vec<Layer>,
    labels: Vec<(String, String)>,
    annotations: Vec<(String, String)>,
    architecture: String,
    created: Option<String>,
    docker: bool,
    diff_ids: Option<Vec<String>>,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// An image without layers: architecture amd64, created 2024-01-02T03:04:05Z.
    pub fn new() -> Self {
        Self {
            layers: Vec::new(),
            labels: Vec::new(),
            annotations: Vec::new(),
            architecture: "amd64".to_owned(),
            created: Some("2024-01-02T03:04:05Z".to_owned()),
            docker: false,
            diff_ids: None,
        }
    }

    /// An image without layers that carries the labels of a bootable one (`containers.bootc=1`,
    /// `ostree.bootable=true`).
    pub fn bootable() -> Self {
        Self::new()
            .label("containers.bootc", "1")
            .label("ostree.bootable", "true")
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds a label to the configuration.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds an annotation to the manifest.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets the architecture (in OCI's words: `amd64`, `arm64`, ...).
    #[must_use]
    pub fn architecture(mut self, architecture: &str) -> Self {
        architecture.clone_into(&mut self.architecture);
        self
    }

    /// Sets the creation time (RFC 3339), or leaves it out.
    #[must_use]
    pub fn created(mut self, time: Option<&str>) -> Self {
        self.created = time.map(str::to_owned);
        self
    }

    /// Uses the media types of Docker's image manifest, version 2 schema 2.
    #[must_use]
    pub fn docker_media_types(mut self) -> Self {
        self.docker = true;
        self
    }

    /// Replaces the list of diff_ids: too few, too many, in the wrong order.
    #[must_use]
    pub fn lie_diff_ids(mut self, diff_ids: &[&str]) -> Self {
        self.diff_ids = Some(diff_ids.iter().map(|id| (*id).to_owned()).collect());
        self
    }

    pub(super) fn architecture_name(&self) -> &str {
        &self.architecture
    }

    pub(super) fn manifest_media_type(&self) -> &'static str {
        if self.docker {
            "application/vnd.docker.distribution.manifest.v2+json"
        } else {
            "application/vnd.oci.image.manifest.v1+json"
        }
    }

    pub(super) fn config(&self) -> Vec<u8> {
        let diff_ids = self.layers.iter().map(Layer::diff_id).collect();
        let diff_ids: Vec<String> = self.diff_ids.clone().unwrap_or(diff_ids);
        let mut config = json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": { "Labels": map(&self.labels) },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": self.layers.iter().map(|layer| self.history(layer)).collect::<Vec<_>>(),
        });
        if let Some(created) = &self.created {
            config["created"] = json!(created);
        }
        to_bytes(&config)
    }

    pub(super) fn manifest(&self, config: &[u8]) -> Vec<u8> {
        let config_type = if self.docker {
            "application/vnd.docker.container.image.v1+json"
        } else {
            "application/vnd.oci.image.config.v1+json"
        };
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": self.manifest_media_type(),
            "config": { "mediaType": config_type, "digest": digest(config), "size": config.len() },
            "layers": self.layers.iter().map(|layer| layer.descriptor(self.docker)).collect::<Vec<_>>(),
        });
        if !self.annotations.is_empty() {
            manifest["annotations"] = map(&self.annotations);
        }
        to_bytes(&manifest)
    }

    fn history(&self, layer: &Layer) -> Value {
        let mut entry = json!({ "created_by": layer.created_by });
        if let Some(created) = &self.created {
            entry["created"] = json!(created);
        }
        entry
    }
}

fn map(pairs: &[(String, String)]) -> Value {
    pairs
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn to_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a value of strings and numbers is JSON")
}
