//! The images that are stored, and removing one.

use composefs::{Category, Store};
use oci::digest::Digest as OciDigest;

use crate::documents::MANIFEST_PREFIX;
use crate::{ImageError, tag};

/// A name of a stored image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The name.
    pub name: String,
    /// The digest of the manifest it stands for.
    pub manifest: OciDigest,
}

/// All names of images.
///
/// # Errors
/// [`ImageError`].
pub fn list(store: &Store) -> Result<Vec<Listed>, ImageError> {
    let references = store.references(Category::Streams)?;
    let listed = references.into_iter().filter_map(|(reference, entry)| {
        let manifest = entry.strip_prefix(MANIFEST_PREFIX)?.parse().ok()?;
        let name = tag::decode(&reference)?;
        Some(Listed { name, manifest })
    });
    Ok(listed.collect())
}

/// Remove a name. What nothing needs any more stays until it is collected.
///
/// # Errors
/// [`ImageError::NotFound`] when there is no such name.
pub fn remove(store: &Store, name: &str) -> Result<(), ImageError> {
    if store.remove_reference(Category::Streams, &tag::encode(name))? {
        return Ok(());
    }
    Err(ImageError::NotFound(name.to_owned()))
}
