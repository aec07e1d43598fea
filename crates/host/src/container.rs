//! From commits to images and back.

use std::os::fd::OwnedFd;

use error_class::{Classified, ErrorClass};
use image::{
    DirectoryCommit, EncapsulateDirectoryError, EncapsulateError, EncapsulateOptions,
    ExportImageError, ExportToOCIOpts, UnencapsulateError, Unencapsulated, UpdateDetachedError,
    WrittenImage,
};
use oci::destination::{Destination, DestinationError};
use oci::digest::Digest;
use oci::reference::{ImageReference, OstreeImageReference};
use oci::source::{Error as SourceError, open};
use oci::spec::ImageManifest;
use ostree::{RefError, Repo};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Progress};
use serde::Serialize;

use crate::image_explain::{admit, admit_whole, by_policy};
use crate::pull::{remote_signature, scratch};
use crate::remote_signature::RemoteSignature;
use crate::text::text;
use crate::{Access, AccessError, RemoteSignatureError, TrustError};

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
    /// The image is not signed as it has to be.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The commit in the image is not signed as its remote asks.
    #[error(transparent)]
    RemoteSignature(#[from] RemoteSignatureError),
    /// The tag names another image by now than the one that was verified.
    #[error("{0} names another image since it was verified; run the same command again")]
    Moved(ImageReference),
    /// The image could not be copied.
    #[error(transparent)]
    Copy(#[from] oci::copy::CopyError),
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] Box<EncapsulateDirectoryError>),
    /// The commit could not be wrapped.
    #[error(transparent)]
    Encapsulate(#[from] Box<EncapsulateError>),
    /// The commit could not be taken out.
    #[error(transparent)]
    Unencapsulate(Box<UnencapsulateError>),
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
            Self::Trust(error) => error.class(),
            Self::RemoteSignature(error) => error.class(),
            Self::Moved(_) => ErrorClass::Untrusted,
            Self::Copy(error) => error.class(),
            Self::Directory(error) => error.class(),
            Self::Encapsulate(error) => error.class(),
            Self::Unencapsulate(error) => error.class(),
            Self::Export(error) => error.class(),
            Self::Detached(error) => error.class(),
        }
    }
}

impl From<UnencapsulateError> for ContainerError {
    fn from(error: UnencapsulateError) -> Self {
        Self::Unencapsulate(Box::new(error))
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

/// An image that was copied (`docs/container-copy.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct CopiedImage {
    schema: &'static str,
    /// The digest of its manifest.
    #[serde(serialize_with = "text")]
    pub digest: Digest,
    /// Bytes of layers that were sent.
    pub bytes_sent: u64,
    /// Bytes of layers that the destination had, or got by itself.
    pub bytes_present: u64,
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
    let Destination { sink, tag } = create(destination, access, Some(repo), interrupt)?;
    let tag = tag.as_deref();
    let written = image::encapsulate(repo, &commit, sink, tag, options, progress, interrupt);
    Ok(written.map_err(Box::new)?)
}

/// Makes an image of a root directory, which needs no repository.
///
/// # Errors
/// [`ContainerError`]; the destination shows no image then.
pub fn encapsulate_directory(
    root: OwnedFd,
    commit: &DirectoryCommit,
    destination: &ImageReference,
    access: &Access,
    options: &EncapsulateOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, ContainerError> {
    let Destination { sink, tag } = create(destination, access, None, interrupt)?;
    let tag = tag.as_deref();
    let written =
        image::encapsulate_directory(root, commit, sink, tag, options, progress, interrupt);
    Ok(written.map_err(Box::new)?)
}

/// Takes the commit out of an image, and lets `name` hold it if there is one. The image must be signed as
/// its reference and the policy ask, at the time `now` (seconds since 1970).
///
/// # Errors
/// [`ContainerError`]; no ref was moved then.
pub fn unencapsulate(
    repo: &Repo,
    image: &OstreeImageReference,
    name: Option<Refspec>,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Unwrapped, ContainerError> {
    let remote = remote_signature(repo, image, access)?;
    let context = access.context(&image.imgref, interrupt)?;
    let source = open(&image.imgref, &context).map_err(Box::new)?;
    let source = source.as_ref();
    let admitted = admit(image, source, access, &context, now)?;
    let accept = |taken: &Unencapsulated| {
        if taken.manifest_digest != admitted {
            return Err(ContainerError::Moved(image.imgref.clone()));
        }
        let verify = |remote: &RemoteSignature<'_>| remote.verify(repo, Some(&taken.commit), now);
        Ok(remote.as_ref().map_or(Ok(()), verify)?)
    };
    let taken = image::unencapsulate(repo, source, name, accept, progress, interrupt)?;
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
    let Destination { sink, tag } = create(destination, access, Some(repo), interrupt)?;
    let tag = tag.as_deref();
    let written = image::export(repo, image, sink, tag, options, progress, interrupt);
    Ok(written.map_err(Box::new)?)
}

/// Copies an image to `destination` with other detached metadata for the commit that it wraps. The image
/// must be signed as the policy asks, at the time `now` (seconds since 1970).
///
/// # Errors
/// [`ContainerError`]; the destination shows no new image then.
pub fn replace_detached_metadata(
    image: &ImageReference,
    destination: &ImageReference,
    detached: Option<&[u8]>,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, ContainerError> {
    let context = access.context(image, interrupt)?;
    let source = open(image, &context).map_err(Box::new)?;
    let asked = by_policy(image.clone());
    admit(&asked, source.as_ref(), access, &context, now)?;
    let Destination { sink, tag } = create(destination, access, None, interrupt)?;
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

/// Copies an image from where it is to somewhere else, byte for byte; with `all` the index that it is named by,
/// and the images for all platforms. What is copied must be signed as the policy asks, at the time `now`
/// (seconds since 1970).
///
/// # Errors
/// [`ContainerError`]; the destination shows no new image then.
pub fn copy_image(
    image: &OstreeImageReference,
    destination: &ImageReference,
    all: bool,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<CopiedImage, ContainerError> {
    let context = access.context(&image.imgref, interrupt)?;
    let source = open(&image.imgref, &context).map_err(Box::new)?;
    let source = source.as_ref();
    let admitted = if all {
        admit_whole(image, source, access, &context, now)?
    } else {
        admit(image, source, access, &context, now)?
    };
    let Destination { sink, tag } = create(destination, access, None, interrupt)?;
    let copy = if all {
        oci::copy::copy_all
    } else {
        oci::copy::copy
    };
    let copied = copy(source, sink, tag.as_deref(), progress, interrupt)?;
    if copied.digest != admitted {
        return Err(ContainerError::Moved(image.imgref.clone()));
    }
    Ok(CopiedImage {
        schema: "bootroot.container-copy/1",
        digest: copied.digest,
        bytes_sent: copied.sent,
        bytes_present: copied.present,
    })
}

/// Opens the destination. With a repository, large blobs are kept there until it is known whether a
/// registry has them already.
fn create(
    destination: &ImageReference,
    access: &Access,
    repo: Option<&Repo>,
    interrupt: &Interrupt,
) -> Result<Destination, ContainerError> {
    let mut context = access.context(destination, interrupt)?;
    context.scratch = repo.and_then(scratch);
    Ok(oci::destination::create(destination, &context)?)
}
