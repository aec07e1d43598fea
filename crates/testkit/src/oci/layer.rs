//! One layer: an archive, how it is compressed, and what is claimed about it.

use std::io::Write;

use serde_json::{Value, json};

use super::digest;

/// How a layer is compressed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `application/vnd.oci.image.layer.v1.tar`.
    None,
    /// `...tar+gzip`.
    #[default]
    Gzip,
    /// `...tar+zstd`.
    Zstd,
}

/// A layer of an [`Image`](super::Image): gzip unless told otherwise.
#[derive(Debug, Clone)]
pub struct Layer {
    tar: Vec<u8>,
    compression: Compression,
    blob: Option<Vec<u8>>,
    media_type: Option<String>,
    digest: Option<String>,
    size: Option<u64>,
    diff_id: Option<String>,
    pub(super) created_by: String,
    pub(super) annotations: Vec<(String, String)>,
}

impl Layer {
    /// A layer with this archive.
    pub fn new(tar: Vec<u8>) -> Self {
        Self {
            tar,
            compression: Compression::default(),
            blob: None,
            media_type: None,
            digest: None,
            size: None,
            diff_id: None,
            created_by: String::new(),
            annotations: Vec::new(),
        }
    }

    /// Sets the compression.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets the text of this layer's history entry.
    #[must_use]
    pub fn created_by(mut self, text: &str) -> Self {
        text.clone_into(&mut self.created_by);
        self
    }

    /// Adds an annotation to this layer's descriptor.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the stored blob: truncated, damaged or followed by garbage. Digest and size in
    /// the manifest stay those of the sound blob, so this is damage *in the store*; to describe
    /// the damaged blob correctly, combine with [`Layer::describe_stored_blob`].
    #[must_use]
    pub fn stored_blob(mut self, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Self {
        self.blob = Some(change(self.compressed()));
        self
    }

    /// Makes digest and size in the manifest those of the stored blob, so that only what is
    /// inside it is wrong.
    #[must_use]
    pub fn describe_stored_blob(mut self) -> Self {
        let blob = self.blob();
        self.size = Some(blob.len() as u64);
        self.digest = Some(digest(&blob));
        self
    }

    /// Lies about the media type.
    #[must_use]
    pub fn lie_media_type(mut self, media_type: &str) -> Self {
        self.media_type = Some(media_type.to_owned());
        self
    }

    /// Lies about the digest; the blob is stored under the lie.
    #[must_use]
    pub fn lie_digest(mut self, digest: &str) -> Self {
        self.digest = Some(digest.to_owned());
        self
    }

    /// Lies about the size in the manifest.
    #[must_use]
    pub fn lie_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Lies about the diff_id in the configuration.
    #[must_use]
    pub fn lie_diff_id(mut self, diff_id: &str) -> Self {
        self.diff_id = Some(diff_id.to_owned());
        self
    }

    /// The digest of the uncompressed archive, or the lie about it.
    pub fn diff_id(&self) -> String {
        self.diff_id.clone().unwrap_or_else(|| digest(&self.tar))
    }

    /// The digest in the manifest.
    pub fn digest(&self) -> String {
        self.digest
            .clone()
            .unwrap_or_else(|| digest(&self.compressed()))
    }

    pub(super) fn blob(&self) -> Vec<u8> {
        self.blob.clone().unwrap_or_else(|| self.compressed())
    }

    pub(super) fn descriptor(&self, docker: bool) -> Value {
        let size = self.size.unwrap_or_else(|| self.compressed().len() as u64);
        let media_type = self
            .media_type
            .clone()
            .unwrap_or_else(|| self.true_media_type(docker));
        let mut descriptor =
            json!({ "mediaType": media_type, "digest": self.digest(), "size": size });
        for (key, value) in &self.annotations {
            descriptor["annotations"][key] = json!(value);
        }
        descriptor
    }

    fn true_media_type(&self, docker: bool) -> String {
        let base = if docker {
            "application/vnd.docker.image.rootfs.diff.tar"
        } else {
            "application/vnd.oci.image.layer.v1.tar"
        };
        let separator = if docker { "." } else { "+" };
        match self.compression {
            Compression::None => base.to_owned(),
            Compression::Gzip => format!("{base}{separator}gzip"),
            Compression::Zstd => format!("{base}{separator}zstd"),
        }
    }

    fn compressed(&self) -> Vec<u8> {
        match self.compression {
            Compression::None => self.tar.clone(),
            Compression::Gzip => gzip(&self.tar),
            Compression::Zstd => zstd::encode_all(&self.tar[..], 3).expect("memory to memory"),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).expect("memory to memory");
    encoder.finish().expect("memory to memory")
}
