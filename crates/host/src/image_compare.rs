//! What differs between two images.

use error_class::{Classified, ErrorClass};
use image::{LayerTotal, ManifestDiff, QueryError, query_image};
use oci::reference::OstreeImageReference;
use oci::source::{Error as SourceError, open};
use oci::spec::ImageManifest;
use ostree::{ReadError, Repo, diff_trees};
use ostree_format::Checksum;
use progress::Interrupt;
use serde::Serialize;

use crate::image_explain::enforce;
use crate::{Access, AccessError, TrustError};

/// What differs between two images (`docs/image-compare.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    schema: &'static str,
    /// The first image.
    pub from: String,
    /// The second image.
    pub to: String,
    /// All layers of the second.
    pub total: LayerTotal,
    /// Layers that only the second has.
    pub added: LayerTotal,
    /// Layers that only the first has.
    pub removed: LayerTotal,
    /// Layers that both have.
    pub kept: LayerTotal,
    /// Files that differ, if that was asked for.
    pub files: Option<Files>,
}

/// Paths that differ, as `ostree diff` tells them.
#[derive(Debug, Clone, Serialize)]
pub struct Files {
    /// Only in the second.
    pub added: Vec<String>,
    /// Only in the first.
    pub removed: Vec<String>,
    /// In both, and not the same.
    pub modified: Vec<String>,
}

/// Why images were not compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The way to an image.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// An image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// A stored image cannot be described.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A stored image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An image is not signed as it has to be.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Files can only be compared where they are.
    #[error("image {0} is not stored, so its files cannot be compared; pull it first")]
    FilesNotStored(OstreeImageReference),
}

impl Classified for CompareError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Access(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Query(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Trust(error) => error.class(),
            Self::FilesNotStored(_) => ErrorClass::NotFound,
        }
    }
}

/// Compares the layers of two images, stored ones where `repo` has them, and with `files` what is in them.
/// One that is not stored must be signed as the policy asks, at the time `now` (seconds since 1970).
///
/// # Errors
/// [`CompareError`].
pub fn image_compare(
    repo: Option<&Repo>,
    from: &OstreeImageReference,
    to: &OstreeImageReference,
    files: bool,
    access: &Access,
    now: u64,
    interrupt: &Interrupt,
) -> Result<Compared, CompareError> {
    let (old, new) = (
        Side::find(repo, from, access, now, interrupt)?,
        Side::find(repo, to, access, now, interrupt)?,
    );
    let diff = ManifestDiff::new(&old.manifest, &new.manifest);
    let (added, kept) = (diff.total_added(), diff.total_kept());
    let files = match repo.filter(|_| files) {
        Some(repo) => Some(compare_files(
            repo,
            old.commit
                .ok_or_else(|| CompareError::FilesNotStored(from.clone()))?,
            new.commit
                .ok_or_else(|| CompareError::FilesNotStored(to.clone()))?,
        )?),
        None => None,
    };
    Ok(Compared {
        schema: "bootroot.image-compare/1",
        from: from.to_string(),
        to: to.to_string(),
        total: LayerTotal {
            count: added.count + kept.count,
            bytes: added.bytes + kept.bytes,
        },
        added,
        removed: diff.total_removed(),
        kept,
        files,
    })
}

/// One of the two images.
struct Side {
    manifest: ImageManifest,
    /// The commit that has its files, if it is stored.
    commit: Option<Checksum>,
}

impl Side {
    fn find(
        repo: Option<&Repo>,
        image: &OstreeImageReference,
        access: &Access,
        now: u64,
        interrupt: &Interrupt,
    ) -> Result<Self, CompareError> {
        if let Some(repo) = repo
            && let Some(state) = query_image(repo, &image.imgref)?
        {
            return Ok(Self {
                manifest: state.manifest,
                commit: Some(state.merge_commit),
            });
        }
        let context = access.context(&image.imgref, interrupt)?;
        let source = open(&image.imgref, &context).map_err(Box::new)?;
        let manifest = source.manifest().map_err(Box::new)?.manifest;
        let digest = manifest.digest();
        enforce(image, source.as_ref(), digest, access, &context, now)?;
        Ok(Self {
            manifest: manifest.manifest().clone(),
            commit: None,
        })
    }
}

fn compare_files(repo: &Repo, from: Checksum, to: Checksum) -> Result<Files, ReadError> {
    let load = |commit: Checksum| {
        let commit = repo.load_commit(&commit)?;
        repo.load_tree(&commit.contents, &commit.meta)
    };
    let diff = diff_trees(&load(from)?, &load(to)?);
    let texts = |paths: Vec<Vec<u8>>| {
        let texts = paths
            .iter()
            .map(|path| String::from_utf8_lossy(path).into_owned());
        texts.collect()
    };
    Ok(Files {
        added: texts(diff.added),
        removed: texts(diff.removed),
        modified: texts(diff.modified),
    })
}
