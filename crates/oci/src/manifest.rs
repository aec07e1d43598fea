//! Manifests, indexes and configurations, with the bytes they came as.
//!
//! A document is identified by the digest of its bytes, so those are kept as they came; the typed
//! form is beside them. Docker's version 2 schema 2 differs from OCI only in media types and is read
//! as well; its version 1 is not.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::canonical;
use crate::digest::{Digest, Verifier, VerifyError};
use crate::media_type::{self, Compression, DocumentKind};

mod error;

pub use error::ManifestError;

/// A manifest or index as it was fetched: not parsed, its digest known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    digest: Digest,
    bytes: Vec<u8>,
    /// What the transport said this is; it may have said nothing.
    declared: Option<DocumentKind>,
}

impl Document {
    /// A document that nobody promised a digest for. `media_type` is what the transport called it.
    #[must_use]
    pub fn new(bytes: Vec<u8>, media_type: Option<&str>) -> Self {
        Self {
            digest: Digest::sha256(&bytes),
            declared: media_type.and_then(DocumentKind::of),
            bytes,
        }
    }

    /// A document that must have this digest.
    ///
    /// # Errors
    /// It has another.
    pub fn pinned(
        bytes: Vec<u8>,
        media_type: Option<&str>,
        expected: &Digest,
    ) -> Result<Self, VerifyError> {
        let size = bytes.len() as u64;
        Self::verified(bytes, media_type, expected, size)
    }

    /// A document that must have the size and digest of a descriptor; `digest` is the latter.
    ///
    /// # Errors
    /// It has not.
    pub fn described(
        bytes: Vec<u8>,
        descriptor: &Descriptor,
        digest: &Digest,
    ) -> Result<Self, VerifyError> {
        let media_type = descriptor.media_type().as_ref();
        Self::verified(bytes, Some(media_type), digest, descriptor.size())
    }

    fn verified(
        bytes: Vec<u8>,
        media_type: Option<&str>,
        expected: &Digest,
        size: u64,
    ) -> Result<Self, VerifyError> {
        let mut verifier = Verifier::new(expected.clone(), size);
        verifier.update(&bytes)?;
        verifier.finish()?;
        Ok(Self {
            digest: expected.clone(),
            declared: media_type.and_then(DocumentKind::of),
            bytes,
        })
    }

    /// The digest of the bytes.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decides between image and index and parses.
    ///
    /// # Errors
    /// [`ManifestError`]. A document that is both, or that is not what it was declared to be, is
    /// refused rather than interpreted (image specification advisory GHSA-77vh-xpmg-72qh).
    pub fn parse(self) -> Result<Manifest, ManifestError> {
        match self.kind()? {
            DocumentKind::Image => {
                RawManifest::from_document(self).map(|image| Manifest::Image(Box::new(image)))
            }
            DocumentKind::Index => {
                RawIndex::from_document(self).map(|index| Manifest::Index(Box::new(index)))
            }
        }
    }

    fn kind(&self) -> Result<DocumentKind, ManifestError> {
        let outline: Outline = self.json()?;
        if outline.schema_version != 2 {
            return Err(ManifestError::SchemaVersion {
                digest: self.digest.clone(),
                version: outline.schema_version,
            });
        }
        let shape = match (outline.is_image(), outline.is_index()) {
            (true, false) => DocumentKind::Image,
            (false, true) => DocumentKind::Index,
            _ => return Err(ManifestError::Ambiguous(self.digest.clone())),
        };
        let stated = outline.media_type.as_deref();
        let says_otherwise = |kind: Option<DocumentKind>| kind.is_some_and(|kind| kind != shape);
        if says_otherwise(self.declared) || says_otherwise(stated.and_then(DocumentKind::of)) {
            return Err(ManifestError::Ambiguous(self.digest.clone()));
        }
        match stated {
            Some(other) if DocumentKind::of(other).is_none() => Err(ManifestError::NotAnImage {
                digest: self.digest.clone(),
                media_type: other.to_owned(),
            }),
            _ => Ok(shape),
        }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, ManifestError> {
        serde_json::from_slice(&self.bytes).map_err(|cause| ManifestError::Json {
            digest: self.digest.clone(),
            cause,
        })
    }
}

/// The members that tell what a document is. A member that occurs twice is an error.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: u64,
    media_type: Option<String>,
    config: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    manifests: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

impl Outline {
    fn is_image(&self) -> bool {
        self.config.is_some() || self.layers.is_some() || self.fs_layers.is_some()
    }

    fn is_index(&self) -> bool {
        self.manifests.is_some()
    }
}

/// What a [`Document`] turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One image.
    Image(Box<RawManifest>),
    /// A list of images.
    Index(Box<RawIndex>),
}

/// The manifest of one image, and the bytes it came as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawManifest {
    digest: Digest,
    bytes: Vec<u8>,
    manifest: ImageManifest,
    layers: Vec<Layer>,
}

/// One layer of a manifest, checked to be something that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the layer as it is stored, that is compressed.
    pub digest: Digest,
    /// The size of the layer as it is stored, in bytes.
    pub size: u64,
    /// How the tar stream is compressed.
    pub compression: Compression,
    /// The descriptor in full, for its annotations and for opening the blob.
    pub descriptor: Descriptor,
}

impl RawManifest {
    fn from_document(document: Document) -> Result<Self, ManifestError> {
        let manifest: ImageManifest = document.json()?;
        let digest = document.digest;
        let config = manifest.config().media_type().as_ref();
        if !media_type::is_config(config) {
            return Err(ManifestError::NotAnImage {
                digest,
                media_type: config.to_owned(),
            });
        }
        digest_of(&digest, manifest.config())?;
        let layers = manifest.layers().iter().enumerate();
        let layers = layers
            .map(|(index, descriptor)| Layer::check(&digest, index, descriptor))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            digest,
            bytes: document.bytes,
            manifest,
            layers,
        })
    }

    /// The digest of the manifest, which identifies the image.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The bytes as they came, which the digest is of.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The typed form.
    #[must_use]
    pub fn manifest(&self) -> &ImageManifest {
        &self.manifest
    }

    /// The layers, the lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The typed form as canonical JSON, as merge commits store it under `ostree.manifest`.
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical::to_string(&self.manifest).expect("a manifest has only text keys")
    }
}

impl Layer {
    fn check(
        manifest: &Digest,
        index: usize,
        descriptor: &Descriptor,
    ) -> Result<Self, ManifestError> {
        let compression = Compression::of_layer(descriptor.media_type().as_ref());
        let compression = compression.map_err(|cause| ManifestError::Layer {
            digest: manifest.clone(),
            index,
            cause,
        })?;
        Ok(Self {
            digest: digest_of(manifest, descriptor)?,
            size: descriptor.size(),
            compression,
            descriptor: descriptor.clone(),
        })
    }
}

/// The digest in a descriptor, with the document it is in for the error.
fn digest_of(document: &Digest, descriptor: &Descriptor) -> Result<Digest, ManifestError> {
    Digest::try_from(descriptor.digest()).map_err(|cause| ManifestError::Digest {
        digest: document.clone(),
        cause,
    })
}

/// A list of images, and the bytes it came as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawIndex {
    digest: Digest,
    bytes: Vec<u8>,
    index: ImageIndex,
}

impl RawIndex {
    fn from_document(document: Document) -> Result<Self, ManifestError> {
        let index = document.json()?;
        Ok(Self {
            digest: document.digest,
            bytes: document.bytes,
            index,
        })
    }

    /// The digest of the index.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The typed form.
    #[must_use]
    pub fn index(&self) -> &ImageIndex {
        &self.index
    }
}

/// The configuration of an image, and the bytes it came as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawConfig {
    digest: Digest,
    bytes: Vec<u8>,
    config: ImageConfiguration,
}

impl RawConfig {
    /// Parses a configuration whose digest has been checked.
    ///
    /// # Errors
    /// The bytes are not an image configuration.
    pub fn from_bytes(digest: Digest, bytes: Vec<u8>) -> Result<Self, ManifestError> {
        match serde_json::from_slice(&bytes) {
            Ok(config) => Ok(Self {
                digest,
                bytes,
                config,
            }),
            Err(cause) => Err(ManifestError::Json { digest, cause }),
        }
    }

    /// The digest of the configuration, which other tools call the image id.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The typed form.
    #[must_use]
    pub fn config(&self) -> &ImageConfiguration {
        &self.config
    }

    /// The typed form as canonical JSON, as merge commits store it under
    /// `ostree.container.image-config`.
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical::to_string(&self.config).expect("a configuration has only text keys")
    }

    /// The digests of the uncompressed layers, one for each layer of the manifest.
    ///
    /// # Errors
    /// Their number differs from that of the layers, or one is not a digest.
    pub fn diff_ids(&self, manifest: &RawManifest) -> Result<Vec<Digest>, ManifestError> {
        let diff_ids = self.config.rootfs().diff_ids();
        if diff_ids.len() != manifest.layers().len() {
            return Err(ManifestError::LayerCount {
                digest: manifest.digest.clone(),
                layers: manifest.layers().len(),
                diff_ids: diff_ids.len(),
            });
        }
        let parse = |text: &String| {
            text.parse().map_err(|cause| ManifestError::Digest {
                digest: self.digest.clone(),
                cause,
            })
        };
        diff_ids.iter().map(parse).collect()
    }
}

#[cfg(test)]
mod tests;
