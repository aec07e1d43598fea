//! Listing stored images.

use oci::reference::ImageReference;
use ostree::Repo;
use ostree_format::Checksum;
use ostree_format::refs::RefName;

use crate::keys::IMAGE_PREFIX;
use crate::query::QueryError;
use crate::refs::unescape;

/// All stored images with their merge commits, sorted by name. Refs that no image reference stands
/// behind are passed over.
///
/// # Errors
/// [`QueryError::Ref`] when the refs cannot be read.
pub fn list_images(repo: &Repo) -> Result<Vec<(ImageReference, Checksum)>, QueryError> {
    let refs = refs_below(repo, IMAGE_PREFIX)?;
    let image = |(name, commit): (String, Checksum)| {
        let image = unescape(&name)?.parse::<ImageReference>().ok()?;
        Some((image, commit))
    };
    let mut images: Vec<(ImageReference, Checksum)> = refs.into_iter().filter_map(image).collect();
    images.sort();
    Ok(images)
}

/// The refs below `prefix`, without it.
pub(crate) fn refs_below(repo: &Repo, prefix: &str) -> Result<Vec<(String, Checksum)>, QueryError> {
    let Ok(name) = prefix.parse::<RefName>() else {
        return Ok(Vec::new());
    };
    let strip = |(name, commit): (RefName, Checksum)| {
        let rest = name.as_str().strip_prefix(prefix)?.strip_prefix('/')?;
        Some((rest.to_owned(), commit))
    };
    Ok(repo
        .list_refs_below(&name)?
        .into_iter()
        .filter_map(strip)
        .collect())
}
