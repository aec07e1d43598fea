//! OCI image layouts: a directory with `index.json` and `blobs/` (OCI image specification,
//! image-layout.md).

use std::io::Read;

use oci_spec::image::{Descriptor, ImageIndex};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::digest::Digest;
use crate::files::{DirFiles, Files};
use crate::limits;
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::{ImageReference, PathReference};
use crate::source::{Error, ImageSource, blob_digest};

mod error;
mod select;
mod write;

pub use error::LayoutError;
pub use write::{BlobWriter, OciDirWriter};
pub(crate) use write::{MARKER_CONTENT, index_with};

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
/// The annotation of an entry of `index.json` that gives the image its name.
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Opens an image in a layout directory: `oci:path`, `oci:path:tag` or `oci:path@digest`.
///
/// Without a tag the layout must have one image, or one image for several platforms.
///
/// # Errors
/// The directory is not a layout, or does not have the image.
pub fn open_dir(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, Error> {
    let name = PathReference::parse(&reference.name);
    let opened = DirFiles::open(context.files(), &name.path)
        .map_err(LayoutError::from)
        .and_then(|files| Layout::open(files, &name, reference, context));
    layout_result(reference, opened)
}

/// Attaches the image to an error, and hides what kind of source it is.
pub(crate) fn layout_result<S: ImageSource + 'static>(
    reference: &ImageReference,
    opened: Result<S, LayoutError>,
) -> Result<Box<dyn ImageSource>, Error> {
    match opened {
        Ok(source) => Ok(Box::new(source)),
        Err(cause) => Err(layout_error(reference, cause)),
    }
}

pub(crate) fn layout_error(reference: &ImageReference, cause: LayoutError) -> Error {
    Error::Layout {
        reference: reference.clone(),
        cause: Box::new(cause),
    }
}

/// An image in a layout, wherever the files of the layout are.
#[derive(Debug)]
pub(crate) struct Layout<F> {
    reference: ImageReference,
    platform: Platform,
    files: F,
    top: Descriptor,
}

impl<F: Files> Layout<F> {
    /// Finds the image that `name` selects.
    pub(crate) fn open(
        files: F,
        name: &PathReference,
        reference: &ImageReference,
        context: &Context,
    ) -> Result<Self, LayoutError> {
        check_marker(&files)?;
        let index: ImageIndex =
            read_json(&files, INDEX, limits::MANIFEST)?.ok_or(LayoutError::NotALayout(INDEX))?;
        let top = select::select(index.manifests(), &name.selector, &context.platform)?;
        Ok(Self {
            reference: reference.clone(),
            platform: context.platform.clone(),
            files,
            top: top.clone(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

/// Layouts of version 1 are read. Some tools write none of the marker, which is accepted.
fn check_marker(files: &impl Files) -> Result<(), LayoutError> {
    let marker: Option<Marker> = read_json(files, MARKER, limits::LAYOUT_MARKER)?;
    match marker {
        Some(marker) if !marker.image_layout_version.starts_with("1.") => {
            Err(LayoutError::Version(marker.image_layout_version))
        }
        _ => Ok(()),
    }
}

/// Reads and parses a file of an image; none when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(
    files: &impl Files,
    file: &'static str,
    limit: u64,
) -> Result<Option<T>, LayoutError> {
    let Some(bytes) = files.read(file, limit)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(cause) => Err(LayoutError::Json { file, cause }),
    }
}

/// Where a layout keeps a blob. A digest has only lower-case hexadecimal digits, so this cannot
/// leave the layout.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// Opens the file that holds a blob and compares its size.
pub(crate) fn open_blob_file(
    files: &impl Files,
    path: &str,
    digest: &Digest,
    size: u64,
    offset: u64,
) -> Result<Box<dyn Read + Send>, LayoutError> {
    let file = files.open(path, offset)?;
    let file = file.ok_or_else(|| LayoutError::MissingBlob(digest.clone()))?;
    if file.size != size {
        return Err(LayoutError::WrongSize {
            digest: digest.clone(),
            size,
            actual: file.size,
        });
    }
    Ok(file.reader)
}

/// Reads a manifest or index and checks it.
pub(crate) fn read_document(
    files: &impl Files,
    path: &str,
    descriptor: &Descriptor,
    reference: &ImageReference,
) -> Result<Document, Error> {
    let digest = blob_digest(reference, descriptor)?;
    let read = files
        .read(path, limits::MANIFEST)
        .map_err(LayoutError::from);
    let bytes =
        read.and_then(|bytes| bytes.ok_or_else(|| LayoutError::MissingBlob(digest.clone())));
    let bytes = bytes.map_err(|cause| layout_error(reference, cause))?;
    Document::described(bytes, descriptor, &digest).map_err(|cause| Error::Content {
        reference: reference.clone(),
        cause: Box::new(cause),
    })
}

impl<F: Files> ImageSource for Layout<F> {
    fn reference(&self) -> &ImageReference {
        &self.reference
    }

    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn top(&self) -> Result<Document, Error> {
        self.document(&self.top)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        read_document(
            &self.files,
            &blob_path(&digest),
            descriptor,
            &self.reference,
        )
    }

    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        let path = blob_path(&digest);
        open_blob_file(&self.files, &path, &digest, descriptor.size(), offset)
            .map_err(|cause| layout_error(&self.reference, cause))
    }
}
