//! Manifest and config of an image, and the images of composefs that belong to it.

use std::collections::BTreeMap;

use composefs::{Batch, Category, Store};
use composefs_format::{Digest, Stream, StreamWriter, Version};
use oci::digest::Digest as OciDigest;
use oci::manifest::{Document, Manifest, RawConfig, RawManifest};

use crate::boot::make_bootable;
use crate::root::root_of;
use crate::splitter::layer_name;
use crate::{ImageError, tag};

/// What the streams of a manifest and a config are called in their headers.
const MANIFEST: [u8; 8] = *b"ocimanif";
const CONFIG: [u8; 8] = *b"ociconfg";

/// In front of the digest of a manifest, in the name of its stream.
pub(crate) const MANIFEST_PREFIX: &str = "oci-manifest-";

/// What the names of images in a config's stream begin with.
const IMAGE_KEY: &str = "composefs.image";

/// What those of roots as they are booted begin with.
const BOOT_IMAGE_KEY: &str = "composefs.image.boot";

/// Which root of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RootKind {
    /// That which the layers make.
    Plain,
    /// As it is booted: `/boot` and `/sysroot` are empty, and it has the labels of its own SELinux policy.
    Boot,
}

impl RootKind {
    /// How the stream of a config calls its image.
    fn key(self, version: Version) -> String {
        let boot = match self {
            Self::Plain => "",
            Self::Boot => ".boot",
        };
        let version = match version {
            Version::V0 | Version::V1 => ".v1",
            Version::V2 => "",
        };
        format!("{IMAGE_KEY}{boot}{version}")
    }
}

/// An image that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The digest of its manifest.
    pub manifest: OciDigest,
    /// The digest of the image of composefs with its root.
    pub root: Digest,
    /// The same for the root as it is booted, if that was wanted.
    pub boot_root: Option<Digest>,
}

/// An image as it is stored.
#[derive(Debug, Clone)]
pub struct StoredImage {
    /// The manifest.
    pub manifest: RawManifest,
    /// The config.
    pub config: RawConfig,
    /// The streams of the layers by diff_id, lowest first.
    pub layers: Vec<(OciDigest, Digest)>,
    /// Its images of composefs, as the stream of the config calls them.
    pub images: BTreeMap<String, Digest>,
}

impl StoredImage {
    /// The image of composefs with its root, in the form that counts in `store`.
    #[must_use]
    pub fn image(&self, store: &Store, kind: RootKind) -> Option<Digest> {
        self.images.get(&kind.key(store.version())).copied()
    }

    /// The reference's name of its manifest's stream: what is needed as long as the image is.
    #[must_use]
    pub fn entry(&self) -> String {
        manifest_name(self.manifest.digest())
    }
}

/// Keep an image whose layers are there: make the images of composefs, write config and manifest, and give it the
/// name `name`, if there is one.
///
/// # Errors
/// [`ImageError`]; the name stands for what it stood for.
pub fn store_image(
    store: &Store,
    manifest: &RawManifest,
    config: &RawConfig,
    name: Option<&str>,
    bootable: bool,
) -> Result<Stored, ImageError> {
    let layers = layers_of(store, manifest, config)?;
    let streams: Vec<Digest> = layers.iter().map(|(_, stream)| *stream).collect();
    let mut root = root_of(store, &streams)?;
    let mut batch = store.begin()?;
    let mut images = kept_images(store, config)?;
    add_images(&mut batch, &root, RootKind::Plain, &mut images)?;
    if bootable {
        make_bootable(store, &mut root)?;
        add_images(&mut batch, &root, RootKind::Boot, &mut images)?;
    }
    let written = Written {
        manifest,
        config,
        layers: &layers,
        images: &images,
    };
    written.write(&mut batch)?;
    if let Some(name) = name {
        let entry = manifest_name(manifest.digest());
        batch.refer(Category::Streams, &tag::encode(name), &entry)?;
    }
    batch.commit()?;
    let image = |kind: RootKind| images.get(&kind.key(store.version())).copied();
    let missing = || incomplete(manifest.digest(), "its root");
    Ok(Stored {
        manifest: manifest.digest().clone(),
        root: image(RootKind::Plain).ok_or_else(missing)?,
        boot_root: image(RootKind::Boot).filter(|_| bootable),
    })
}

/// Images that another pull made, which stay.
fn kept_images(store: &Store, config: &RawConfig) -> Result<BTreeMap<String, Digest>, ImageError> {
    let name = config_name(config.digest());
    let Some(digest) = store.entry(Category::Streams, &name)? else {
        return Ok(BTreeMap::new());
    };
    // What cannot be read is replaced.
    let Ok(stream) = store.stream(&digest) else {
        return Ok(BTreeMap::new());
    };
    let mut images = images_in(&stream);
    images.retain(|_, image| store.has_object(image).unwrap_or_default());
    Ok(images)
}

fn images_in(stream: &Stream) -> BTreeMap<String, Digest> {
    let images = stream.names.iter();
    let images = images.filter(|(name, _)| name.starts_with(IMAGE_KEY));
    images
        .map(|(name, digest)| (name.clone(), *digest))
        .collect()
}

fn add_images(
    batch: &mut Batch<'_>,
    root: &composefs_format::ImageTree,
    kind: RootKind,
    images: &mut BTreeMap<String, Digest>,
) -> Result<(), ImageError> {
    for version in batch.store().versions().to_vec() {
        let image = composefs_format::image(root, version)?;
        images.insert(kind.key(version), batch.add_image(&image)?);
    }
    Ok(())
}

/// The streams of the layers of an image, lowest first.
fn layers_of(
    store: &Store,
    manifest: &RawManifest,
    config: &RawConfig,
) -> Result<Vec<(OciDigest, Digest)>, ImageError> {
    let mut layers = Vec::new();
    for diff_id in config.diff_ids(manifest)? {
        let stream = store.entry(Category::Streams, &layer_name(&diff_id))?;
        let lack = || incomplete(manifest.digest(), &format!("layer {diff_id}"));
        let stream = stream.ok_or_else(lack)?;
        layers.push((diff_id, stream));
    }
    Ok(layers)
}

fn incomplete(manifest: &OciDigest, what: &str) -> ImageError {
    ImageError::Incomplete {
        digest: manifest.to_string(),
        what: what.to_owned(),
    }
}

/// What stands in the streams of an image.
struct Written<'i> {
    manifest: &'i RawManifest,
    config: &'i RawConfig,
    layers: &'i [(OciDigest, Digest)],
    images: &'i BTreeMap<String, Digest>,
}

impl Written<'_> {
    fn write(&self, batch: &mut Batch<'_>) -> Result<(), ImageError> {
        let layers = self.layers.iter();
        let layers = layers.map(|(diff_id, stream)| (diff_id.to_string(), *stream));
        // In the order of composefs-rs, so that the streams are equal, too.
        let of_boot = |key: &str| key.starts_with(BOOT_IMAGE_KEY);
        let mut images: Vec<_> = self.images.iter().collect();
        images.sort_by_key(|(key, _)| (of_boot(key), *key));
        let images = images.into_iter().map(|(key, image)| (key.clone(), *image));
        let name = config_name(self.config.digest());
        let names = layers.clone().chain(images).collect();
        let config = document(batch, &name, CONFIG, names, self.config.bytes())?;
        let key = format!("config:{}", self.config.digest());
        let names = std::iter::once((key, config)).chain(layers).collect();
        let name = manifest_name(self.manifest.digest());
        document(batch, &name, MANIFEST, names, self.manifest.bytes())?;
        Ok(())
    }
}

/// A stream that consists of one object.
fn document(
    batch: &mut Batch<'_>,
    name: &str,
    content: [u8; 8],
    names: Vec<(String, Digest)>,
    bytes: &[u8],
) -> Result<Digest, ImageError> {
    let algorithm = batch.store().algorithm();
    let mut stream = StreamWriter::new(algorithm, content).map_err(ImageError::Compress)?;
    for (name, digest) in names {
        stream.refer(&name, digest);
    }
    let object = batch.add_object(bytes)?;
    let written = stream.object(object, bytes.len() as u64);
    written.map_err(ImageError::Compress)?;
    let stream = stream.finish().map_err(ImageError::Compress)?;
    Ok(batch.add_stream(name, &stream)?)
}

fn manifest_name(digest: &OciDigest) -> String {
    format!("{MANIFEST_PREFIX}{digest}")
}

fn config_name(digest: &OciDigest) -> String {
    format!("oci-config-{digest}")
}

/// The stored image with this name, or whose manifest has this digest (`sha256:…`).
///
/// # Errors
/// [`ImageError::NotFound`], and what keeps it from being read.
pub fn find(store: &Store, name: &str) -> Result<StoredImage, ImageError> {
    let not_found = || ImageError::NotFound(name.to_owned());
    let references = store.references(Category::Streams)?;
    let digest = match references.get(&tag::encode(name)) {
        Some(entry) => entry
            .strip_prefix(MANIFEST_PREFIX)
            .ok_or_else(not_found)?
            .to_owned(),
        None => name.to_owned(),
    };
    let digest: OciDigest = digest.parse().map_err(|_| not_found())?;
    open(store, &digest)?.ok_or_else(not_found)
}

/// The stored image whose manifest has this digest, verified.
pub(crate) fn open(store: &Store, digest: &OciDigest) -> Result<Option<StoredImage>, ImageError> {
    let Some(stream) = store.entry(Category::Streams, &manifest_name(digest))? else {
        return Ok(None);
    };
    let lack = |what: &str| incomplete(digest, what);
    let stream = store.stream(&stream)?;
    let document = Document::pinned(content_of(store, &stream, MANIFEST)?, None, digest);
    let document = document.map_err(|_| lack("a manifest of that digest"))?;
    let Manifest::Image(manifest) = document.parse()? else {
        return Err(ImageError::Artifact(digest.clone()));
    };
    let config_digest = manifest.manifest().config().digest().to_string();
    let config = stream.names.get(&format!("config:{config_digest}"));
    let config_stream = store.stream(config.ok_or_else(|| lack("its config"))?)?;
    let config_digest: OciDigest = config_digest.parse().map_err(|_| lack("its config"))?;
    let bytes = content_of(store, &config_stream, CONFIG)?;
    if OciDigest::of(config_digest.algorithm(), &bytes) != config_digest {
        return Err(lack("a config of its digest"));
    }
    let config = RawConfig::from_bytes(config_digest, bytes)?;
    let mut layers = Vec::new();
    for diff_id in config.diff_ids(&manifest)? {
        let layer = config_stream.names.get(&diff_id.to_string());
        let layer = *layer.ok_or_else(|| lack(&format!("layer {diff_id}")))?;
        layers.push((diff_id, layer));
    }
    Ok(Some(StoredImage {
        manifest: *manifest,
        config,
        layers,
        images: images_in(&config_stream),
    }))
}

fn content_of(store: &Store, stream: &Stream, kind: [u8; 8]) -> Result<Vec<u8>, ImageError> {
    match stream.objects.as_slice() {
        [object] if stream.content == kind => Ok(store.read_object(object)?),
        _ => {
            let reason = "a stream does not hold the document it is named by";
            Err(ImageError::Archive(reason.to_owned()))
        }
    }
}
