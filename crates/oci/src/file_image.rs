//! An image in files, however they are arranged.

use std::fmt;
use std::io::Read;

use oci_spec::image::Descriptor;

use crate::context::Context;
use crate::digest::Digest;
use crate::files::{FileError, Files};
use crate::layout::LayoutError;
use crate::limits;
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::ImageReference;
use crate::source::{Error, ImageSource, blob_digest};

/// Where the parts of an image are among its files. A digest has only lower-case hexadecimal
/// digits, so a path made of it stays inside.
pub(crate) trait Arrangement: fmt::Debug + Send + Sync {
    /// The file of a blob, if there can be one.
    fn blob(&self, digest: &Digest) -> Option<String>;

    /// The file of a manifest or index.
    fn document(&self, digest: &Digest) -> Option<String> {
        self.blob(digest)
    }
}

/// The document that a reference names.
#[derive(Debug)]
pub(crate) enum Top {
    /// One among the others.
    Described(Box<Descriptor>),
    /// One that nothing describes.
    Bare(Vec<u8>),
}

/// An image in files.
#[derive(Debug)]
struct FileImage<F, A> {
    reference: ImageReference,
    platform: Platform,
    files: F,
    arrangement: A,
    top: Top,
}

/// Makes a source of some files, once `arrange` has found the image among them.
pub(crate) fn open<F: Files + 'static, A: Arrangement + 'static>(
    reference: &ImageReference,
    context: &Context,
    files: Result<F, FileError>,
    arrange: impl FnOnce(&F) -> Result<(A, Top), LayoutError>,
) -> Result<Box<dyn ImageSource>, Error> {
    let arranged = files.map_err(LayoutError::from).and_then(|files| {
        let (arrangement, top) = arrange(&files)?;
        Ok((files, arrangement, top))
    });
    let (files, arrangement, top) = arranged.map_err(|cause| wrap(reference, cause))?;
    Ok(Box::new(FileImage {
        reference: reference.clone(),
        platform: context.platform.clone(),
        files,
        arrangement,
        top,
    }))
}

fn wrap(reference: &ImageReference, cause: LayoutError) -> Error {
    Error::Layout {
        reference: reference.clone(),
        cause: Box::new(cause),
    }
}

impl<F: Files, A: Arrangement> FileImage<F, A> {
    fn read_document(&self, digest: &Digest) -> Result<Vec<u8>, LayoutError> {
        let missing = || LayoutError::MissingBlob(digest.clone());
        let path = self.arrangement.document(digest).ok_or_else(missing)?;
        let bytes = self.files.read(&path, limits::MANIFEST)?;
        bytes.ok_or_else(missing)
    }

    fn open_file(
        &self,
        digest: &Digest,
        size: u64,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, LayoutError> {
        let missing = || LayoutError::MissingBlob(digest.clone());
        let path = self.arrangement.blob(digest).ok_or_else(missing)?;
        let file = self.files.open(&path, offset)?.ok_or_else(missing)?;
        if file.size != size {
            return Err(LayoutError::WrongSize {
                digest: digest.clone(),
                size,
                actual: file.size,
            });
        }
        Ok(file.reader)
    }
}

impl<F: Files, A: Arrangement> ImageSource for FileImage<F, A> {
    fn reference(&self) -> &ImageReference {
        &self.reference
    }

    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn top(&self) -> Result<Document, Error> {
        match &self.top {
            Top::Described(descriptor) => self.document(descriptor),
            Top::Bare(bytes) => Ok(Document::new(bytes.clone(), None)),
        }
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        let bytes = self.read_document(&digest);
        let bytes = bytes.map_err(|cause| wrap(&self.reference, cause))?;
        Document::described(bytes, descriptor, &digest).map_err(|cause| Error::Content {
            reference: self.reference.clone(),
            cause: Box::new(cause),
        })
    }

    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, Error> {
        let digest = blob_digest(&self.reference, descriptor)?;
        self.open_file(&digest, descriptor.size(), offset)
            .map_err(|cause| wrap(&self.reference, cause))
    }
}
