//! `containers-storage:`, read at once where that is sound: images in OCI form in a storage of the driver
//! `overlay` whose layers' archives can be made again. Everything else is left to `skopeo`.
//!
//! Layers come uncompressed, and the manifest names them so, in the very bytes that `skopeo` (1.22) writes when
//! it copies the image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use containers::config::{Config, OVERLAY};
use containers::read::{LayerFiles, Storages, StoredImage, StoredLayer};
use oci_spec::image::Descriptor;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::digest::Digest;
use crate::layout::LayoutError;
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::{ImageReference, RegistryReference};
use crate::skopeo;
use crate::source::{self, ArchiveFiles, ImageSource, LocalLayer, LocalLayers, blob_digest};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const COMPRESSED: [&str; 2] = [
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
];

/// Opens an image in a storage.
///
/// # Errors
/// Those of `skopeo`, when it is asked.
pub(crate) fn open(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, source::Error> {
    match find(&reference.name, context) {
        Ok(Some(found)) => Ok(Box::new(Stored {
            reference: reference.clone(),
            platform: context.platform.clone(),
            found,
        })),
        Ok(None) => skopeo::open(reference, context),
        Err(cause) => {
            tracing::debug!(%cause, "the storage cannot be read at once");
            skopeo::open(reference, context)
        }
    }
}

#[derive(Debug)]
struct Found {
    manifest: Vec<u8>,
    config: (Digest, Vec<u8>),
    layers: Vec<(Digest, StoredLayer)>,
}

/// None when the image is not there, or must be left to others.
fn find(name: &str, context: &Context) -> io::Result<Option<Found>> {
    let Some(system) = &context.storage else {
        return Ok(None);
    };
    let Some((config, name)) = storage_of(name, system) else {
        return Ok(None);
    };
    let paths = [&config.graph_root].into_iter().chain(&config.additional);
    let storages = Storages::open(context.files(), paths.map(std::path::PathBuf::as_path))?;
    let image = match name.strip_prefix('@') {
        Some(id) => storages.by_id(id)?,
        None => match full_name(name) {
            Some(name) => storages.by_name(&name)?,
            None => None,
        },
    };
    image.map_or(Ok(None), Found::new)
}

/// The storage that a name is in, and the rest of the name: `[overlay@ROOT+RUN]NAME`.
fn storage_of<'n>(name: &'n str, system: &Config) -> Option<(Config, &'n str)> {
    let Some(rest) = name.strip_prefix('[') else {
        return (system.driver == OVERLAY).then(|| (system.clone(), name));
    };
    let (place, name) = rest.split_once(']')?;
    let (driver, roots) = place.split_once('@')?;
    let graph_root = roots.split_once('+').map_or(roots, |(graph, _)| graph);
    let plain = driver == OVERLAY && graph_root.starts_with('/') && !roots.contains(':');
    let config = Config {
        driver: driver.to_owned(),
        graph_root: graph_root.into(),
        additional: Vec::new(),
    };
    plain.then_some((config, name))
}

/// The name as storages list it. None for what may be the beginning of an image's number, and for digests.
fn full_name(name: &str) -> Option<String> {
    if name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let name: RegistryReference = name.parse().ok()?;
    if name.digest().is_some() {
        return None;
    }
    let (registry, repository) = (name.registry(), name.repository());
    Some(format!("{registry}/{repository}:{}", name.wanted()))
}

impl Found {
    fn new(image: StoredImage) -> io::Result<Option<Self>> {
        let original = image.document("manifest")?;
        let Some(manifest) = parse(&original) else {
            return Ok(None);
        };
        let config = image.document(&manifest.config.digest)?;
        let layers = image.layers.into_iter();
        let layers = layers.map(|layer| Some((layer.diff_id.parse().ok()?, layer)));
        let layers: Option<Vec<(Digest, StoredLayer)>> = layers.collect();
        let Some((layers, digest)) = layers.zip(manifest.config.digest.parse().ok()) else {
            return Ok(None);
        };
        let stored: Vec<_> = layers.iter().map(|(id, _)| id.clone()).collect();
        if diff_ids(&config) != Some(stored) {
            return Ok(None);
        }
        let manifest = uncompressed(&manifest, &original, &layers);
        Ok(manifest.map(|manifest| Self {
            manifest,
            config: (digest, config),
            layers,
        }))
    }
}

/// A manifest, with its members in the order in which Go writes them. One with others is not for us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plain {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    config: PlainDescriptor,
    layers: Vec<PlainDescriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlainDescriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
}

fn parse(manifest: &[u8]) -> Option<Plain> {
    let manifest: Plain = serde_json::from_slice(manifest).ok()?;
    let is_oci = manifest
        .media_type
        .as_deref()
        .is_none_or(|kind| kind == MANIFEST);
    let is_layer = |layer: &PlainDescriptor| {
        layer.media_type == LAYER || COMPRESSED.contains(&layer.media_type.as_str())
    };
    let known = is_oci && manifest.config.media_type == CONFIG;
    (known && manifest.layers.iter().all(is_layer)).then_some(manifest)
}

fn diff_ids(config: &[u8]) -> Option<Vec<Digest>> {
    #[derive(Deserialize)]
    struct Config {
        rootfs: Rootfs,
    }
    #[derive(Deserialize)]
    struct Rootfs {
        diff_ids: Vec<String>,
    }
    let config: Config = serde_json::from_slice(config).ok()?;
    let ids = config.rootfs.diff_ids.into_iter();
    ids.map(|id| id.parse().ok()).collect()
}

/// The manifest with the layers as they are read here. None when it has another number of them.
fn uncompressed(
    manifest: &Plain,
    original: &[u8],
    layers: &[(Digest, StoredLayer)],
) -> Option<Vec<u8>> {
    if manifest.layers.len() != layers.len() {
        return None;
    }
    let mut changed = manifest.clone();
    for (entry, (digest, layer)) in changed.layers.iter_mut().zip(layers) {
        LAYER.clone_into(&mut entry.media_type);
        entry.digest = digest.to_string();
        entry.size = layer.size;
    }
    if changed == *manifest {
        return Some(original.to_vec());
    }
    let text = serde_json::to_string(&changed).ok()?;
    // As Go escapes; these characters are in strings only.
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
    let text = text.replace('&', "\\u0026");
    Some(text.into_bytes())
}

/// An image in a storage, as a source.
#[derive(Debug)]
struct Stored {
    reference: ImageReference,
    platform: Platform,
    found: Found,
}

impl Stored {
    fn missing(&self, digest: Digest) -> source::Error {
        source::Error::Layout {
            reference: self.reference.clone(),
            cause: Box::new(LayoutError::MissingBlob(digest)),
        }
    }
}

impl ImageSource for Stored {
    fn reference(&self) -> &ImageReference {
        &self.reference
    }

    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn top(&self) -> Result<Document, source::Error> {
        Ok(Document::new(self.found.manifest.clone(), Some(MANIFEST)))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, source::Error> {
        // A storage has no indexes, and so no manifests that are not the image's own.
        Err(self.missing(blob_digest(&self.reference, descriptor)?))
    }

    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, source::Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        let unreadable = |cause| source::Error::Read {
            reference: self.reference.clone(),
            cause,
        };
        let (config, bytes) = &self.found.config;
        if digest == *config {
            let mut content = io::Cursor::new(bytes.clone());
            content.set_position(offset);
            return Ok(Box::new(content));
        }
        let mut layers = self.found.layers.iter();
        let Some((_, layer)) = layers.find(|(id, _)| *id == digest) else {
            return Err(self.missing(digest));
        };
        let mut archive = layer.archive().map_err(unreadable)?;
        io::copy(&mut archive.by_ref().take(offset), &mut io::sink()).map_err(unreadable)?;
        Ok(Box::new(archive))
    }
}

/// The layers of storages, whose files are those of layers as they are.
#[derive(Debug)]
pub struct StorageLayers(Storages);

impl StorageLayers {
    /// Those of these.
    #[must_use]
    pub const fn new(storages: Storages) -> Self {
        Self(storages)
    }

    /// A layer that was found.
    ///
    /// # Errors
    /// What is kept of its archive cannot be read.
    pub fn of_layer(layer: &StoredLayer) -> io::Result<LocalLayer> {
        let (archive, files) = layer.archive_and_files()?;
        Ok(LocalLayer {
            archive: Box::new(archive),
            size: layer.size,
            files: Arc::new(FilesOfLayer(files)),
            store: "podman's storage",
        })
    }
}

impl LocalLayers for StorageLayers {
    fn layer(&self, diff_id: &Digest) -> io::Result<Option<LocalLayer>> {
        let Some(layer) = self.0.layer_with(&diff_id.to_string())? else {
            return Ok(None);
        };
        Self::of_layer(&layer).map(Some)
    }
}

#[derive(Debug)]
struct FilesOfLayer(LayerFiles);

impl ArchiveFiles for FilesOfLayer {
    fn file_at(&self, offset: u64) -> Option<File> {
        self.0.file_at(offset)
    }

    fn are_contents(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_storage() {
        let system = Config::default();
        let place = |name: &str| {
            let (config, name) = storage_of(name, &system)?;
            Some(format!("{} {name}", config.graph_root.display()))
        };
        let found = |text: &str| Some(text.to_owned());
        assert_eq!(place("os:1"), found("/var/lib/containers/storage os:1"));
        assert_eq!(place("[overlay@/a+/b]os:1"), found("/a os:1"));
        assert_eq!(place("[overlay@/a]@12"), found("/a @12"));
        assert_eq!(place("[vfs@/a+/b]os:1"), None);
        assert_eq!(place("[overlay@/a+/b:mountopt=x]os:1"), None);
        assert_eq!(place("[/a]os:1"), None);
        assert_eq!(full_name("os"), found("docker.io/library/os:latest"));
        assert_eq!(full_name("localhost/os:1"), found("localhost/os:1"));
        assert_eq!(full_name("abcdef"), None);
    }
}
