//! What `docker save` and `podman save` write: `manifest.json`, a configuration, and layers.
//!
//! The format (Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset
//! Format") has no registry manifest, so one is made: canonical, hence the same for the same
//! archive. Its digest is not the one that a registry has for the image.

use std::collections::HashMap;
use std::io::Read;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageManifestBuilder, MediaType};
use serde::Deserialize;

use super::tar::TarFiles;
use crate::context::Context;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::file_image::{self, Arrangement, Top};
use crate::files::Files;
use crate::layout::{LayoutError, read_json};
use crate::media_type::Compression;
use crate::reference::{ImageReference, PathReference, RegistryReference, Selector};
use crate::source::{Error, ImageSource};
use crate::{canonical, limits, media_type};

const MANIFEST: &str = "manifest.json";

/// Opens an image in a Docker archive: `docker-archive:path`, `docker-archive:path:name:tag` or
/// `docker-archive:path:@position`. The archive must not be compressed; layers in it may be, but
/// then opening reads them once, to learn their digests.
///
/// # Errors
/// The file is not such an archive, or does not have the image.
pub fn open_docker(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, Error> {
    let name = PathReference::parse(&reference.name);
    let files = TarFiles::open(context.files(), &name.path);
    file_image::open(reference, context, files, |files| {
        let images: Vec<Saved> = read_json(files, MANIFEST, limits::MANIFEST)?
            .ok_or(LayoutError::NotALayout(MANIFEST))?;
        let image = select(&images, &name.selector)?;
        let mut finder = Finder::new(files);
        let (config, diff_ids) = finder.config(image)?;
        let layers = finder.layers(image, &diff_ids)?;
        let manifest = synthesized(config, layers).into_bytes();
        Ok((finder.found, Top::Bare(manifest)))
    })
}

/// Where each blob is. The manifest is no index, so there are no further documents.
#[derive(Debug, Default)]
struct Places(HashMap<Digest, String>);

impl Arrangement for Places {
    fn blob(&self, digest: &Digest) -> Option<String> {
        self.0.get(digest).cloned()
    }
}

/// An image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn select<'a>(images: &'a [Saved], selector: &Selector) -> Result<&'a Saved, LayoutError> {
    let present = || images.iter().enumerate().flat_map(names).collect();
    let found = match selector {
        Selector::Only => match images {
            [_, _, ..] => return Err(LayoutError::SeveralImages(present())),
            images => images.first(),
        },
        Selector::Position(position) => images.get(*position),
        Selector::Name(name) => images.iter().find(|image| is_named(image, name)),
        Selector::Digest(_) => None,
    };
    found.ok_or_else(|| LayoutError::NoSuchImage {
        wanted: selector.clone(),
        present: present(),
    })
}

/// What a user can append to mean an image: its names, or its position when it has none.
fn names((position, image): (usize, &Saved)) -> Vec<String> {
    let tags = image.repo_tags.iter().flatten();
    let names: Vec<_> = tags.map(|tag| format!(":{tag}")).collect();
    if names.is_empty() {
        return vec![format!(":@{position}")];
    }
    names
}

/// Compares names in full, so that `os` and `docker.io/library/os:latest` are the same.
fn is_named(image: &Saved, wanted: &str) -> bool {
    let full = |name: &str| {
        let name: RegistryReference = name.parse().ok()?;
        let tag = name.wanted();
        Some((
            name.registry().to_owned(),
            name.repository().to_owned(),
            tag,
        ))
    };
    let tags = image.repo_tags.iter().flatten();
    tags.into_iter()
        .any(|tag| tag == wanted || full(tag).is_some_and(|tag| Some(tag) == full(wanted)))
}

/// Finds the blobs of an image and what they are called.
struct Finder<'a> {
    files: &'a TarFiles,
    found: Places,
}

impl<'a> Finder<'a> {
    fn new(files: &'a TarFiles) -> Self {
        let found = Places::default();
        Self { files, found }
    }

    fn add(&mut self, digest: &Digest, path: &str) {
        self.found.0.insert(digest.clone(), path.to_owned());
    }

    fn config(&mut self, image: &Saved) -> Result<(Descriptor, Vec<Digest>), LayoutError> {
        let path = &image.config;
        let bytes = self.files.read(path, limits::CONFIG)?;
        let bytes = bytes.ok_or_else(|| missing(path))?;
        let config: ImageConfiguration =
            serde_json::from_slice(&bytes).map_err(|cause| LayoutError::Json {
                file: "the image configuration",
                cause,
            })?;
        let digest = Digest::sha256(&bytes);
        self.add(&digest, path);
        let media_type = MediaType::from(media_type::OCI_CONFIG);
        let descriptor = Descriptor::new(media_type, bytes.len() as u64, &digest);
        Ok((descriptor, diff_ids(&config)?))
    }

    fn layers(
        &mut self,
        image: &Saved,
        diff_ids: &[Digest],
    ) -> Result<Vec<Descriptor>, LayoutError> {
        if image.layers.len() != diff_ids.len() {
            return Err(LayoutError::LayerCount {
                layers: image.layers.len(),
                diff_ids: diff_ids.len(),
            });
        }
        let layers = image.layers.iter().zip(diff_ids);
        layers
            .map(|(path, diff_id)| self.layer(path, diff_id))
            .collect()
    }

    fn layer(&mut self, path: &str, diff_id: &Digest) -> Result<Descriptor, LayoutError> {
        let mut file = self.files.open(path, 0)?.ok_or_else(|| missing(path))?;
        let compression = sniff(&mut file.reader, path)?;
        let digest = match compression {
            Compression::None => diff_id.clone(),
            _ => self.hash(path)?,
        };
        self.add(&digest, path);
        let media_type = MediaType::from(compression.layer_media_type());
        Ok(Descriptor::new(media_type, file.size, &digest))
    }

    fn hash(&self, path: &str) -> Result<Digest, LayoutError> {
        let mut file = self.files.open(path, 0)?.ok_or_else(|| missing(path))?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buf = vec![0; 128 << 10];
        loop {
            match read_some(&mut file.reader, &mut buf, path)? {
                0 => return Ok(hasher.finish()),
                n => hasher.update(&buf[..n]),
            }
        }
    }
}

fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Digest>, LayoutError> {
    let parse = |text: &String| {
        text.parse().map_err(|cause| LayoutError::Digest {
            file: "the image configuration",
            cause,
        })
    };
    config.rootfs().diff_ids().iter().map(parse).collect()
}

fn missing(path: &str) -> LayoutError {
    let path = path.to_owned();
    LayoutError::MissingFile { path }
}

fn sniff(reader: &mut impl Read, path: &str) -> Result<Compression, LayoutError> {
    let mut magic = [0; 4];
    let n = read_some(reader, &mut magic, path)?;
    Ok(match magic[..n] {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        _ => Compression::None,
    })
}

fn read_some(reader: &mut impl Read, buf: &mut [u8], path: &str) -> Result<usize, LayoutError> {
    use durable::IoContext;
    let n = reader.read(buf).during("read", path);
    n.map_err(|error| LayoutError::File(error.into()))
}

fn synthesized(config: Descriptor, layers: Vec<Descriptor>) -> String {
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers)
        .build()
        .expect("all required members are set");
    canonical::to_string(&manifest).expect("a manifest has only text keys")
}
