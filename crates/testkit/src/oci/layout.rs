//! The directory that holds images: `oci-layout`, `index.json`, `blobs/`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Image;

/// An OCI image directory that images can be added to.
///
/// It is valid after every call, except for the lies it was told to write.
#[derive(Debug)]
pub struct LayoutBuilder {
    dir: PathBuf,
    manifests: Vec<Value>,
}

/// One entry of an image index for several platforms.
#[derive(Debug)]
pub struct Platform<'a> {
    /// The image; its architecture becomes that of the entry.
    pub image: &'a Image,
    /// The variant (`v8`), if any.
    pub variant: Option<&'a str>,
}

/// `sha256:` and the digest in hexadecimal.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl LayoutBuilder {
    /// Makes an image directory without images at `dir`.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let layout = Self {
            dir: dir.into(),
            manifests: Vec::new(),
        };
        fs::create_dir_all(layout.dir.join("blobs/sha256")).expect("a writable directory");
        layout.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        layout.write_index();
        layout
    }

    /// The image directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `oci:DIR:TAG`, how skopeo and bootroot name an image in here.
    pub fn reference(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.dir.display())
    }

    /// Where a blob (`sha256:...`) is stored.
    pub fn blob(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replacen(':', "/", 1))
    }

    /// Adds an image under a tag (replacing what had that tag) and returns its manifest digest.
    pub fn tag(&mut self, tag: &str, image: &Image) -> String {
        let descriptor = self.put_image(image);
        self.add(tag, descriptor)
    }

    /// Adds an image index for several platforms under a tag and returns its digest.
    pub fn tag_index(&mut self, tag: &str, platforms: &[Platform<'_>]) -> String {
        let entries: Vec<Value> = platforms
            .iter()
            .map(|platform| self.platform_entry(platform))
            .collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        let descriptor = self.put_json(&index, media_type);
        self.add(tag, descriptor)
    }

    /// Stores bytes as a blob under their true digest and returns that.
    pub fn put_blob(&self, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        self.put_blob_as(&digest, bytes);
        digest
    }

    fn put_image(&self, image: &Image) -> Value {
        for layer in &image.layers {
            self.put_blob_as(&layer.digest(), &layer.blob());
        }
        let config = image.config();
        self.put_blob(&config);
        let manifest = image.manifest(&config);
        let digest = self.put_blob(&manifest);
        json!({ "mediaType": image.manifest_media_type(), "digest": digest, "size": manifest.len() })
    }

    fn platform_entry(&self, platform: &Platform<'_>) -> Value {
        let mut descriptor = self.put_image(platform.image);
        let architecture = platform.image.architecture_name();
        descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
        if let Some(variant) = platform.variant {
            descriptor["platform"]["variant"] = json!(variant);
        }
        descriptor
    }

    fn put_json(&self, value: &Value, media_type: &str) -> Value {
        let bytes = serde_json::to_vec(value).expect("a JSON value");
        json!({ "mediaType": media_type, "digest": self.put_blob(&bytes), "size": bytes.len() })
    }

    fn add(&mut self, tag: &str, mut descriptor: Value) -> String {
        const NAME: &str = "org.opencontainers.image.ref.name";
        descriptor["annotations"] = json!({ NAME: tag });
        self.manifests
            .retain(|manifest| manifest["annotations"][NAME] != tag);
        let digest = descriptor["digest"]
            .as_str()
            .expect("a descriptor")
            .to_owned();
        self.manifests.push(descriptor);
        self.write_index();
        digest
    }

    fn write_index(&self) {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        self.write("index.json", index.to_string().as_bytes());
    }

    fn put_blob_as(&self, digest: &str, bytes: &[u8]) {
        fs::write(self.blob(digest), bytes).expect("a writable directory");
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.join(name), bytes).expect("a writable directory");
    }
}
