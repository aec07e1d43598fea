//! What is known about a stored image.

use error_class::{Classified, ErrorClass};
use oci::digest::Digest;
use oci::manifest::{Document, Manifest, RawConfig, RawManifest};
use oci::reference::ImageReference;
use oci::spec::{ImageConfiguration, ImageManifest};
use ostree::{ReadError, RefError, Repo};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Commit};

use crate::keys::{
    LEGACY_VERSION_LABEL, META_CONFIG, META_MANIFEST, META_MANIFEST_DIGEST, VERSION_LABEL,
};
use crate::layout::label;
use crate::refs::{RefNameError, ref_for_image};

/// A stored image, as its merge commit tells.
#[derive(Debug, Clone)]
pub struct LayeredImageState {
    /// The encapsulated commit that the image is based on, if it is.
    pub base_commit: Option<Checksum>,
    /// The commit whose tree is the whole image.
    pub merge_commit: Checksum,
    /// The digest of the manifest.
    pub manifest_digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// The config.
    pub configuration: ImageConfiguration,
}

/// Why a stored image cannot be described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The image is not stored.
    #[error("image {0} is not stored; pull it first")]
    NotStored(ImageReference),
    /// The commit is no image.
    #[error("commit {commit} is not a container image: it has no {key} metadata")]
    NotAnImage {
        /// The commit.
        commit: Checksum,
        /// The metadata that is missing.
        key: &'static str,
    },
    /// The commit's metadata is damaged.
    #[error("the {key} metadata of commit {commit} is damaged: {reason}; pull the image again")]
    Damaged {
        /// The commit.
        commit: Checksum,
        /// The metadata.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The image has a name that no ref can have.
    #[error(transparent)]
    Name(#[from] RefNameError),
    /// A ref cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Classified for QueryError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotStored(_) | Self::NotAnImage { .. } => ErrorClass::NotFound,
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::Name(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Read(error) => error.class(),
        }
    }
}

impl LayeredImageState {
    /// The version that the image says it has.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        version_of(&self.configuration)
    }

    /// Digests of the layers as they are packed, lowest first.
    pub(crate) fn layer_digests(&self) -> Result<Vec<Digest>, QueryError> {
        let digests = self.manifest.layers().iter();
        digests
            .map(|layer| self.digest(META_MANIFEST, layer.digest().as_ref()))
            .collect()
    }

    /// Digests of the layers as archives, lowest first.
    pub(crate) fn diff_ids(&self) -> Result<Vec<Digest>, QueryError> {
        let diff_ids = self.configuration.rootfs().diff_ids().iter();
        diff_ids
            .map(|text| self.digest(META_CONFIG, text))
            .collect()
    }

    fn digest(&self, key: &'static str, text: &str) -> Result<Digest, QueryError> {
        text.parse().map_err(|_| QueryError::Damaged {
            commit: self.merge_commit,
            key,
            reason: format!("{text:?} is not a digest"),
        })
    }
}

/// The version that an image's labels give.
#[must_use]
pub fn version_of(config: &ImageConfiguration) -> Option<&str> {
    label(config, VERSION_LABEL).or_else(|| label(config, LEGACY_VERSION_LABEL))
}

/// The commit of a stored image, if it is stored.
pub(crate) fn merge_commit(
    repo: &Repo,
    image: &ImageReference,
) -> Result<Option<Checksum>, QueryError> {
    Ok(repo.read_ref(&Refspec::local(ref_for_image(image)?))?)
}

/// Describe a stored image; `None` when it is not stored.
///
/// # Errors
/// [`QueryError`] when what is stored is damaged.
pub fn query_image(
    repo: &Repo,
    image: &ImageReference,
) -> Result<Option<LayeredImageState>, QueryError> {
    merge_commit(repo, image)?
        .map(|commit| query_image_commit(repo, &commit))
        .transpose()
}

/// Describe the image that a merge commit is.
///
/// # Errors
/// [`QueryError::NotAnImage`] for any other commit.
pub fn query_image_commit(
    repo: &Repo,
    checksum: &Checksum,
) -> Result<LayeredImageState, QueryError> {
    let commit = repo.load_commit(checksum)?;
    let (manifest_digest, manifest) = manifest_of(checksum, &commit)?;
    let configuration = match text(checksum, &commit, META_CONFIG)? {
        // Written by very old versions of ostree-ext.
        "null" => ImageConfiguration::default(),
        json => parse(checksum, META_CONFIG, json)?,
    };
    Ok(LayeredImageState {
        base_commit: commit.parent,
        merge_commit: *checksum,
        manifest_digest,
        manifest,
        configuration,
    })
}

/// The manifest in a merge commit, and its digest.
pub(crate) fn manifest_of(
    checksum: &Checksum,
    commit: &Commit,
) -> Result<(Digest, ImageManifest), QueryError> {
    let digest = text(checksum, commit, META_MANIFEST_DIGEST)?;
    let digest = digest.parse().map_err(|_| QueryError::Damaged {
        commit: *checksum,
        key: META_MANIFEST_DIGEST,
        reason: format!("{digest:?} is not a digest"),
    })?;
    let manifest = text(checksum, commit, META_MANIFEST)?;
    Ok((digest, parse(checksum, META_MANIFEST, manifest)?))
}

fn text<'a>(
    checksum: &Checksum,
    commit: &'a Commit,
    key: &'static str,
) -> Result<&'a str, QueryError> {
    let missing = QueryError::NotAnImage {
        commit: *checksum,
        key,
    };
    commit.metadata.get_str(key).ok_or(missing)
}

fn parse<T: serde::de::DeserializeOwned>(
    checksum: &Checksum,
    key: &'static str,
    json: &str,
) -> Result<T, QueryError> {
    serde_json::from_str(json).map_err(|error| QueryError::Damaged {
        commit: *checksum,
        key,
        reason: error.to_string(),
    })
}

/// The documents of the image that a merge commit is, byte for byte; `None` when they are kept in another form than they
/// were fetched in, which has another digest.
///
/// # Errors
/// [`QueryError`].
pub fn stored_documents(
    repo: &Repo,
    checksum: &Checksum,
) -> Result<Option<(RawManifest, RawConfig)>, QueryError> {
    let commit = repo.load_commit(checksum)?;
    let (digest, _) = manifest_of(checksum, &commit)?;
    let manifest = text(checksum, &commit, META_MANIFEST)?.as_bytes().to_vec();
    let config = text(checksum, &commit, META_CONFIG)?.as_bytes().to_vec();
    let Ok(document) = Document::pinned(manifest, None, &digest) else {
        return Ok(None);
    };
    let Ok(Manifest::Image(manifest)) = document.parse() else {
        return Ok(None);
    };
    let wanted = manifest.manifest().config().digest().to_string().parse();
    let config = wanted.ok().and_then(|wanted: Digest| {
        let is_it = Digest::of(wanted.algorithm(), &config) == wanted;
        is_it.then(|| RawConfig::from_bytes(wanted, config).ok())?
    });
    Ok(config.map(|config| (*manifest, config)))
}
