//! OCI image layouts: a directory with `index.json` and `blobs/` (OCI image specification,
//! image-layout.md).

use oci_spec::image::ImageIndex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::digest::Digest;
use crate::file_image::{self, Arrangement, Top};
use crate::files::{DirFiles, FileError, Files};
use crate::limits;
use crate::reference::{ImageReference, PathReference};
use crate::source::{Error, ImageSource};

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
    open(reference, context, |path| {
        DirFiles::open(context.files(), path)
    })
}

/// Opens an image in a layout, wherever the files of the layout are.
pub(crate) fn open<F: Files + 'static>(
    reference: &ImageReference,
    context: &Context,
    open_files: impl FnOnce(&str) -> Result<F, FileError>,
) -> Result<Box<dyn ImageSource>, Error> {
    let name = PathReference::parse(&reference.name);
    let files = open_files(&name.path);
    file_image::open(reference, context, files, |files| {
        check_marker(files)?;
        let index: ImageIndex =
            read_json(files, INDEX, limits::MANIFEST)?.ok_or(LayoutError::NotALayout(INDEX))?;
        let top = select::select(index.manifests(), &name.selector, &context.platform)?;
        Ok((Blobs, Top::Described(Box::new(top.clone()))))
    })
}

/// Manifests are blobs like all others.
#[derive(Debug)]
struct Blobs;

impl Arrangement for Blobs {
    fn blob(&self, digest: &Digest) -> Option<String> {
        Some(blob_path(digest))
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

/// Where a layout keeps a blob.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
