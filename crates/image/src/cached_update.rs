//! What is known of a newer version of a stored image that was not pulled yet.
//!
//! Noted of the merge commit under the keys of ostree-ext, so that it is there offline and for its tools.

use oci::digest::Digest;
use oci::manifest::{RawConfig, RawManifest};
use oci::spec::{ImageConfiguration, ImageManifest};
use ostree::{Repo, WriteError};
use ostree_format::{Checksum, Metadata};

use crate::notes::{edit, noted};
use crate::query::{QueryError, version_of};

const KEY_DIGEST: &str = "ostree-ext.cached.manifest-digest";
const KEY_MANIFEST: &str = "ostree-ext.cached.manifest";
const KEY_CONFIG: &str = "ostree-ext.cached.config";

/// A newer version of an image that was seen, but not pulled.
#[derive(Debug, Clone)]
pub struct CachedImageUpdate {
    /// The digest of its manifest.
    pub manifest_digest: Digest,
    /// Its manifest.
    pub manifest: ImageManifest,
    /// Its config.
    pub config: ImageConfiguration,
}

impl CachedImageUpdate {
    /// The version that it says it has.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        version_of(&self.config)
    }
}

/// The update that is cached for a merge commit, if any. A damaged cache is none.
///
/// # Errors
/// [`QueryError::Read`] when the metadata cannot be read at all.
pub fn cached_update(
    repo: &Repo,
    commit: &Checksum,
) -> Result<Option<CachedImageUpdate>, QueryError> {
    Ok(parse(&noted(repo, commit)?))
}

fn parse(metadata: &Metadata) -> Option<CachedImageUpdate> {
    Some(CachedImageUpdate {
        manifest_digest: metadata.get_str(KEY_DIGEST)?.parse().ok()?,
        manifest: serde_json::from_str(metadata.get_str(KEY_MANIFEST)?).ok()?,
        config: serde_json::from_str(metadata.get_str(KEY_CONFIG)?).ok()?,
    })
}

/// Remember what a pull of the image would bring.
pub(crate) fn write(
    repo: &Repo,
    commit: &Checksum,
    manifest: &RawManifest,
    config: &RawConfig,
) -> Result<(), WriteError> {
    edit(repo, commit, |metadata| {
        metadata.insert(KEY_DIGEST, manifest.digest().to_string());
        metadata.insert(KEY_MANIFEST, manifest.canonical());
        metadata.insert(KEY_CONFIG, config.canonical());
    })
}

/// Forget a cached update; whatever else is noted, such as signatures, stays.
///
/// # Errors
/// [`WriteError`]; the old metadata is untouched then.
pub fn clear_cached_update(repo: &Repo, commit: &Checksum) -> Result<(), WriteError> {
    edit(repo, commit, |metadata| {
        for key in [KEY_DIGEST, KEY_MANIFEST, KEY_CONFIG] {
            metadata.remove(key);
        }
    })
}
