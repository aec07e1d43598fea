//! Which images are stored.

use image::{LayeredImageState, QueryError, list_images, query_image_commit};
use oci::reference::ImageReference;
use ostree::Repo;
use ostree_format::Checksum;
use serde::Serialize;

use crate::BoundImageStatus;
use crate::text::text;

/// The stored images (`docs/image-list.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct ImageList {
    schema: &'static str,
    /// The images, by name.
    pub images: Vec<ImageEntry>,
    /// Those that the deployments bind, which are in a store of podman's.
    pub bound: Vec<BoundImageStatus>,
}

/// A stored image.
#[derive(Debug, Clone, Serialize)]
pub struct ImageEntry {
    /// Its name.
    #[serde(serialize_with = "text")]
    pub image: ImageReference,
    /// The commit whose tree is the whole image.
    #[serde(serialize_with = "text")]
    pub commit: Checksum,
    /// The digest of its manifest.
    pub digest: Option<String>,
    /// The version that it says it has.
    pub version: Option<String>,
    /// When it was made, by its own words (RFC 3339).
    pub created: Option<String>,
    /// How many layers it has.
    pub layers: Option<usize>,
    /// The compressed size of its layers in bytes.
    pub size: Option<u64>,
    /// Why nothing more is known. One damaged image does not hide the others.
    pub damaged: Option<String>,
}

impl ImageList {
    /// The same, with what deployments bind.
    #[must_use]
    pub fn with_bound(self, bound: Vec<BoundImageStatus>) -> Self {
        Self { bound, ..self }
    }
}

/// Lists the images of a repository.
///
/// # Errors
/// When the names cannot be read; an image that cannot be read is an entry that says so.
pub fn image_list(repo: &Repo) -> Result<ImageList, QueryError> {
    let images = list_images(repo)?.into_iter();
    let entry = |(image, commit)| match query_image_commit(repo, &commit) {
        Ok(state) => described(image, &state),
        Err(error) => damaged(image, commit, &error),
    };
    Ok(ImageList {
        schema: "bootroot.image-list/1",
        images: images.map(entry).collect(),
        bound: Vec::new(),
    })
}

fn described(image: ImageReference, state: &LayeredImageState) -> ImageEntry {
    let layers = state.manifest.layers();
    ImageEntry {
        image,
        commit: state.merge_commit,
        digest: Some(state.manifest_digest.to_string()),
        version: state.version().map(str::to_owned),
        created: state.configuration.created().clone(),
        layers: Some(layers.len()),
        size: Some(layers.iter().map(oci::spec::Descriptor::size).sum()),
        damaged: None,
    }
}

fn damaged(image: ImageReference, commit: Checksum, error: &QueryError) -> ImageEntry {
    ImageEntry {
        image,
        commit,
        digest: None,
        version: None,
        created: None,
        layers: None,
        size: None,
        damaged: Some(error.to_string()),
    }
}
