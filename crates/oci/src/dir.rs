//! The `dir:` transport: `manifest.json` and blobs side by side in one directory, as
//! containers/image writes it (containers-transports(5)).

use std::io::Read;

use oci_spec::image::Descriptor;

use crate::context::Context;
use crate::digest::{Algorithm, Digest};
use crate::files::{DirFiles, Files};
use crate::layout::{LayoutError, layout_error, layout_result, open_blob_file, read_document};
use crate::limits;
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::{ImageReference, PathReference};
use crate::source::{Error, ImageSource, blob_digest};

const MANIFEST: &str = "manifest.json";

/// Opens the image in a directory.
///
/// # Errors
/// The directory cannot be opened or has no manifest.
pub fn open(reference: &ImageReference, context: &Context) -> Result<Box<dyn ImageSource>, Error> {
    let name = PathReference::whole(&reference.name);
    let opened = DirFiles::open(context.files(), &name.path)
        .map_err(LayoutError::from)
        .and_then(|files| LocalDir::open(files, reference, context));
    layout_result(reference, opened)
}

#[derive(Debug)]
struct LocalDir {
    reference: ImageReference,
    platform: Platform,
    files: DirFiles,
    manifest: Vec<u8>,
}

impl LocalDir {
    fn open(
        files: DirFiles,
        reference: &ImageReference,
        context: &Context,
    ) -> Result<Self, LayoutError> {
        let manifest = files.read(MANIFEST, limits::MANIFEST)?;
        Ok(Self {
            reference: reference.clone(),
            platform: context.platform.clone(),
            files,
            manifest: manifest.ok_or(LayoutError::NotALayout(MANIFEST))?,
        })
    }
}

/// What a blob's file is called: the bare digits, as everything is SHA-256; others are marked.
fn blob_path(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex().to_owned(),
        other => format!("{}-{}", other.name(), digest.hex()),
    }
}

impl ImageSource for LocalDir {
    fn reference(&self) -> &ImageReference {
        &self.reference
    }

    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn top(&self) -> Result<Document, Error> {
        Ok(Document::new(self.manifest.clone(), None))
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        let path = format!("{}.manifest.json", blob_path(&digest));
        read_document(&self.files, &path, descriptor, &self.reference)
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
