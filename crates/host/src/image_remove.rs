//! Forgetting images.

use error_class::{Classified, ErrorClass};
use image::{Collected, ImportError, collect_layers, remove_images};
use oci::reference::ImageReference;
use ostree::Repo;
use serde::Serialize;

/// What was removed (`docs/image-remove.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Removal {
    schema: &'static str,
    /// The images that were removed.
    pub removed: Vec<String>,
    /// The images that were not there.
    pub missing: Vec<String>,
    /// How many layers lost their name because no image needs them any more; none were looked for
    /// while a pull was running.
    pub layers_released: Option<usize>,
}

/// Why images were not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The names cannot be removed, or layers cannot be collected.
    #[error(transparent)]
    Store(#[from] Box<ImportError>),
    /// Some of the images were not there; the others were removed.
    #[error("not stored: {}", .0.missing.join(", "))]
    Missing(Box<Removal>),
}

impl Classified for RemoveError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Missing(_) => ErrorClass::NotFound,
        }
    }
}

/// Removes images and releases the layers that nothing needs any more. Their objects stay until the
/// repository is pruned.
///
/// # Errors
/// [`RemoveError`]; with [`RemoveError::Missing`] everything that was there has been removed.
pub fn image_remove(repo: &Repo, images: &[ImageReference]) -> Result<Removal, RemoveError> {
    let mut removal = removed(repo, images)?;
    if let Collected::Layers(count) = collect_layers(repo).map_err(Box::new)? {
        removal.layers_released = Some(count);
    }
    settled(removal)
}

/// Removes images, and looks for no layers.
///
/// # Errors
/// As [`image_remove`].
pub fn image_remove_only(repo: &Repo, images: &[ImageReference]) -> Result<Removal, RemoveError> {
    settled(removed(repo, images)?)
}

fn removed(repo: &Repo, images: &[ImageReference]) -> Result<Removal, RemoveError> {
    let missing = remove_images(repo, images).map_err(Box::new)?;
    let names = |wanted: bool| {
        let of = images
            .iter()
            .filter(|image| missing.contains(image) == wanted);
        of.map(ToString::to_string).collect()
    };
    Ok(Removal {
        schema: "bootroot.image-remove/1",
        removed: names(false),
        missing: names(true),
        layers_released: None,
    })
}

fn settled(removal: Removal) -> Result<Removal, RemoveError> {
    if removal.missing.is_empty() {
        Ok(removal)
    } else {
        Err(RemoveError::Missing(Box::new(removal)))
    }
}
