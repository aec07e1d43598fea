//! Where images come from, whatever the transport.

use std::fmt;
use std::io::Read;

use error_class::{Classified, ErrorClass};
use oci_spec::image::Descriptor;

use crate::context::Context;
use crate::digest::{Digest, DigestReader};
use crate::manifest::{Document, Manifest, ManifestError, RawConfig, RawIndex, RawManifest};
use crate::platform::Platform;
use crate::reference::{ImageReference, OstreeImageReference, SignatureSource, Transport};
use crate::registry;
use crate::{archive, dir, layout, limits, skopeo, storage};

mod error;
mod local;

pub use error::Error;
pub use local::{
    ArchiveFiles, LayerBytes, LayerOrigin, LayerTask, LocalLayer, LocalLayers, fetch_layer,
    layers_in, open_here,
};

pub use crate::storage::StorageLayers;

/// An image that can be fetched. All methods block; all may be called from several threads at once.
pub trait ImageSource: fmt::Debug + Send + Sync {
    /// The image, as it was asked for.
    fn reference(&self) -> &ImageReference;

    /// What the image must run on, where there is a choice.
    fn platform(&self) -> &Platform;

    /// The document that the reference names, a manifest or an index. Its digest is that of its
    /// bytes, and the one that the reference is pinned to, if it is.
    ///
    /// # Errors
    /// The transport's; [`Error::Content`] when the document has another digest than promised.
    fn top(&self) -> Result<Document, Error>;

    /// A manifest or index that an index refers to, verified.
    ///
    /// # Errors
    /// As [`ImageSource::top`].
    fn document(&self, descriptor: &Descriptor) -> Result<Document, Error>;

    /// The content of a blob from `offset` on, **unverified**: wrap the reader in a
    /// [`DigestReader`], or the content hashed from its start in a
    /// [`Verifier`](crate::digest::Verifier). The reader may deliver more or less than the
    /// descriptor says. Errors that it returns carry an [`Error`], see [`Error::cause_of`].
    ///
    /// # Errors
    /// The transport's; there is no such blob.
    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, Error>;

    /// Says that a blob read from its start is not needed any more: because what it holds is stored,
    /// or because it turned out to be damaged. What was kept of it to be continued later is removed.
    /// True when a beginning kept from an earlier try had been used: then it may be that which was
    /// damaged, and fetching once more makes sense.
    fn forget_part(&self, descriptor: &Descriptor) -> bool {
        let _nothing_kept = descriptor;
        false
    }

    /// The layer whose unpacked archive has this digest, from every store of this machine that has it.
    fn local_layers(&self, diff_id: &Digest) -> Vec<LocalLayer> {
        let _nowhere = diff_id;
        Vec::new()
    }

    /// The manifest of the image for [`ImageSource::platform`], found through indexes if need be.
    ///
    /// # Errors
    /// The transport's, those of [`Document::parse`], or [`Error::Platform`].
    fn manifest(&self) -> Result<Resolved, Error> {
        resolve(self)
    }

    /// The configuration that a manifest of this image refers to, verified.
    ///
    /// # Errors
    /// The transport's; the configuration is damaged or not one.
    fn config(&self, manifest: &RawManifest) -> Result<RawConfig, Error> {
        let descriptor = manifest.manifest().config();
        let bytes = self.read_blob(descriptor, limits::CONFIG)?;
        let digest = blob_digest(self.reference(), descriptor)?;
        RawConfig::from_bytes(digest, bytes).map_err(|cause| self.manifest_error(cause))
    }

    /// The whole content of a blob, verified.
    ///
    /// # Errors
    /// The transport's; the blob is damaged, or larger than `limit` bytes.
    fn read_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, Error> {
        let digest = blob_digest(self.reference(), descriptor)?;
        let size = descriptor.size();
        if size > limit {
            let reference = self.reference().clone();
            return Err(Error::TooLarge {
                reference,
                digest,
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        DigestReader::new(self.open_blob(descriptor, 0)?, digest, size)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::from_stream(self.reference(), error))?;
        Ok(bytes)
    }

    #[doc(hidden)]
    fn manifest_error(&self, cause: ManifestError) -> Error {
        Error::Manifest {
            reference: self.reference().clone(),
            cause: Box::new(cause),
        }
    }
}

/// An image's manifest, and the index it was found through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The manifest for the platform.
    pub manifest: RawManifest,
    /// What the reference names, when that is an index.
    pub index: Option<RawIndex>,
}

fn resolve<S: ImageSource + ?Sized>(source: &S) -> Result<Resolved, Error> {
    let parse = |document: Document| {
        let parsed = document.parse();
        parsed.map_err(|cause| source.manifest_error(cause))
    };
    let mut top = None;
    let mut parsed = parse(source.top()?)?;
    for _ in 0..=limits::NESTED_INDEXES {
        let index = match parsed {
            Manifest::Image(manifest) => {
                return Ok(Resolved {
                    manifest: *manifest,
                    index: top,
                });
            }
            Manifest::Index(index) => index,
        };
        let entries: Vec<_> = index.index().manifests().iter().collect();
        let entry = source.platform().select(&entries);
        let entry = entry.map_err(|cause| Error::Platform {
            reference: source.reference().clone(),
            cause: Box::new(cause),
        })?;
        parsed = parse(source.document(entry)?)?;
        top.get_or_insert(*index);
    }
    let digest = match parsed {
        Manifest::Image(manifest) => manifest.digest().clone(),
        Manifest::Index(index) => index.digest().clone(),
    };
    Err(source.manifest_error(ManifestError::Nesting(digest)))
}

/// Opens an image. What is looked at already differs between transports: a path must exist, while a
/// registry is first spoken to when something is fetched.
///
/// Signatures are not looked at: see [`open_verified`].
///
/// # Errors
/// The name is not valid for the transport, the file or directory cannot be opened or is not an
/// image, or `skopeo` does not bring it.
pub fn open(reference: &ImageReference, context: &Context) -> Result<Box<dyn ImageSource>, Error> {
    let image = open_there(reference, context)?;
    if context.stores.is_empty() {
        return Ok(image);
    }
    Ok(Box::new(local::LocalFirst::new(
        image,
        context.stores.clone(),
    )))
}

fn open_there(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, Error> {
    match reference.transport {
        Transport::Registry => registry::open(reference, context),
        Transport::OciDir => layout::open_dir(reference, context),
        Transport::OciArchive => archive::open_oci(reference, context),
        Transport::DockerArchive => archive::open_docker(reference, context),
        Transport::LocalDir => dir::open(reference, context),
        Transport::ContainersStorage => storage::open(reference, context),
        Transport::DockerDaemon => skopeo::open(reference, context),
    }
}

/// Opens an image whose signature matters, as far as that can be decided before it is fetched.
///
/// A reference that requires the container policy is refused, because no policy is evaluated; one
/// that requires an OSTree remote is opened, and whoever has fetched the commit must verify it.
///
/// # Errors
/// [`Error::PolicyUnsupported`], or those of [`open`].
pub fn open_verified(
    reference: &OstreeImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, Error> {
    match reference.sigverify {
        SignatureSource::ContainerPolicy => {
            Err(Error::PolicyUnsupported(Box::new(reference.clone())))
        }
        SignatureSource::OstreeRemote(_) | SignatureSource::ContainerPolicyAllowInsecure => {
            open(&reference.imgref, context)
        }
    }
}

/// Let a blob be fetched and used. What an earlier try left of it may be damaged; then it is fetched anew. Nothing is
/// kept of a blob that was used, or whose content is to blame.
///
/// # Errors
/// Those of `fetch`.
pub fn fetch_part<T, E: Classified>(
    source: &dyn ImageSource,
    descriptor: &Descriptor,
    mut fetch: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut fetched = fetch();
    if fetched.as_ref().is_err_and(blames_content) && source.forget_part(descriptor) {
        fetched = fetch();
    }
    if fetched.as_ref().map_or_else(blames_content, |_| true) {
        source.forget_part(descriptor);
    }
    fetched
}

/// Whether other content would have made a difference.
fn blames_content(error: &impl Classified) -> bool {
    matches!(
        error.class(),
        ErrorClass::Corrupt | ErrorClass::InvalidInput | ErrorClass::Unsupported
    )
}

/// The digest in a descriptor.
pub(crate) fn blob_digest(
    reference: &ImageReference,
    descriptor: &Descriptor,
) -> Result<Digest, Error> {
    Digest::try_from(descriptor.digest()).map_err(|cause| Error::Digest {
        reference: reference.clone(),
        cause,
    })
}
