//! From commits to images and back.

use error_class::{Classified, ErrorClass};
use image::{
    EncapsulateError, EncapsulateOptions, ExportImageError, ExportToOCIOpts, UnencapsulateError,
    UpdateDetachedError, WrittenImage,
};
use oci::destination::{Destination, DestinationError};
use oci::digest::Digest;
use oci::reference::{ImageReference, OstreeImageReference, SignatureSource};
use oci::source::{Error as SourceError, open_verified};
use oci::spec::ImageManifest;
use ostree::{RefError, Repo};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Progress};
use serde::Serialize;

use crate::text::text;
use crate::{Access, AccessError};

/// Why an image was not made, or no commit came out of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The way to the image.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// There is no such commit.
    #[error(transparent)]
    Rev(#[from] RefError),
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The place for the image.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The signature cannot be verified, so the commit must not be used.
    #[error(
        "the signature that {0} requires cannot be verified: signatures of OSTree remotes are not supported"
    )]
    RemoteSignature(OstreeImageReference),
    /// The commit could not be wrapped.
    #[error(transparent)]
    Encapsulate(#[from] Box<EncapsulateError>),
    /// The commit could not be taken out.
    #[error(transparent)]
    Unencapsulate(#[from] Box<UnencapsulateError>),
    /// The stored image could not be written.
    #[error(transparent)]
    Export(#[from] Box<ExportImageError>),
    /// The detached metadata could not be replaced.
    #[error(transparent)]
    Detached(#[from] Box<UpdateDetachedError>),
}

impl Classified for ContainerError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Access(error) => error.class(),
            Self::Rev(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Destination(error) => error.class(),
            Self::RemoteSignature(_) => ErrorClass::Untrusted,
            Self::Encapsulate(error) => error.class(),
            Self::Unencapsulate(error) => error.class(),
            Self::Export(error) => error.class(),
            Self::Detached(error) => error.class(),
        }
    }
}

/// A commit that came out of an image (`docs/container-unencapsulate.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Unwrapped {
    schema: &'static str,
    /// The commit.
    #[serde(serialize_with = "text")]
    pub commit: Checksum,
    /// The digest of the image's manifest.
    #[serde(serialize_with = "text")]
    pub digest: Digest,
}

/// A manifest, fetched.
#[derive(Debug, Clone, Serialize)]
pub struct FoundManifest {
    /// Its digest.
    #[serde(serialize_with = "text")]
    pub digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
}

/// Fetches the manifest of an image.
///
/// # Errors
/// [`ContainerError`].
pub fn fetch_manifest(
    image: &OstreeImageReference,
    access: &Access,
    interrupt: &Interrupt,
) -> Result<FoundManifest, ContainerError> {
    let context = access.context(&image.imgref, interrupt)?;
    let found = oci::fetch::fetch_manifest(image, &context).map_err(Box::new)?;
    Ok(FoundManifest {
        digest: found.manifest.digest().clone(),
        manifest: found.manifest.manifest().clone(),
    })
}

/// Wraps the commit that `rev` names into an image.
///
/// # Errors
/// [`ContainerError`]; the destination shows no image then.
pub fn encapsulate(
    repo: &Repo,
    rev: &str,
    destination: &ImageReference,
    access: &Access,
    options: &EncapsulateOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, ContainerError> {
    let commit = repo.resolve(rev)?;
    let Destination { sink, tag } = create(destination, access, interrupt)?;
    let tag = tag.as_deref();
    let written = image::encapsulate(repo, &commit, sink, tag, options, progress, interrupt);
    Ok(written.map_err(Box::new)?)
}

/// Takes the commit out of an image, and lets `name` hold it if there is one.
///
/// # Errors
/// [`ContainerError`]; no ref was moved then.
pub fn unencapsulate(
    repo: &Repo,
    image: &OstreeImageReference,
    name: Option<Refspec>,
    access: &Access,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Unwrapped, ContainerError> {
    if let SignatureSource::OstreeRemote(_) = image.sigverify {
        return Err(ContainerError::RemoteSignature(image.clone()));
    }
    let context = access.context(&image.imgref, interrupt)?;
    let source = open_verified(image, &context).map_err(Box::new)?;
    let taken = image::unencapsulate(repo, source.as_ref(), name, progress, interrupt);
    let taken = taken.map_err(Box::new)?;
    Ok(Unwrapped {
        schema: "bootroot.container-unencapsulate/1",
        commit: taken.commit,
        digest: taken.manifest_digest,
    })
}

/// Writes a stored image to `destination`, with the layers that it came in.
///
/// # Errors
/// [`ContainerError`]; the destination shows no image then.
pub fn image_export(
    repo: &Repo,
    image: &ImageReference,
    destination: &ImageReference,
    access: &Access,
    options: &ExportToOCIOpts,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, ContainerError> {
    // What is not stored must not leave an empty directory behind.
    if let Err(error) = crate::stored::stored(repo, image) {
        let error = match error {
            crate::StoredError::NotStored(image) => image::QueryError::NotStored(image),
            crate::StoredError::Query(error) => error,
        };
        return Err(Box::new(ExportImageError::from(error)).into());
    }
    let Destination { sink, tag } = create(destination, access, interrupt)?;
    let tag = tag.as_deref();
    let written = image::export(repo, image, sink, tag, options, progress, interrupt);
    Ok(written.map_err(Box::new)?)
}

/// Copies an image to `destination` with other detached metadata for the commit that it wraps.
///
/// # Errors
/// [`ContainerError`]; the destination shows no new image then.
pub fn replace_detached_metadata(
    image: &ImageReference,
    destination: &ImageReference,
    detached: Option<&[u8]>,
    access: &Access,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, ContainerError> {
    let context = access.context(image, interrupt)?;
    let source = oci::source::open(image, &context).map_err(Box::new)?;
    let Destination { sink, tag } = create(destination, access, interrupt)?;
    let written = image::update_detached_metadata(
        source.as_ref(),
        sink,
        tag.as_deref(),
        detached,
        image::Compression::default(),
        progress,
        interrupt,
    );
    Ok(written.map_err(Box::new)?)
}

fn create(
    destination: &ImageReference,
    access: &Access,
    interrupt: &Interrupt,
) -> Result<Destination, ContainerError> {
    let context = access.context(destination, interrupt)?;
    Ok(oci::destination::create(destination, &context)?)
}
