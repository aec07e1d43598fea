//! The `dir:` transport: `manifest.json` and blobs side by side in one directory, as
//! containers/image writes it (containers-transports(5)).

use crate::context::Context;
use crate::digest::{Algorithm, Digest};
use crate::file_image::{self, Arrangement, Top};
use crate::files::{DirFiles, Files};
use crate::layout::LayoutError;
use crate::limits;
use crate::reference::{ImageReference, PathReference};
use crate::source::{Error, ImageSource};

const MANIFEST: &str = "manifest.json";

/// Opens the image in a directory.
///
/// # Errors
/// The directory cannot be opened or has no manifest.
pub fn open(reference: &ImageReference, context: &Context) -> Result<Box<dyn ImageSource>, Error> {
    let name = PathReference::whole(&reference.name);
    let files = DirFiles::open(context.files(), &name.path);
    file_image::open(reference, context, files, |files| {
        let manifest = files.read(MANIFEST, limits::MANIFEST)?;
        let manifest = manifest.ok_or(LayoutError::NotALayout(MANIFEST))?;
        Ok((SideBySide, Top::Bare(manifest)))
    })
}

/// Files are called by their digests.
#[derive(Debug)]
struct SideBySide;

impl Arrangement for SideBySide {
    /// The bare digits, as everything is SHA-256; others are marked.
    fn blob(&self, digest: &Digest) -> Option<String> {
        Some(match digest.algorithm() {
            Algorithm::Sha256 => digest.hex().to_owned(),
            other => format!("{}-{}", other.name(), digest.hex()),
        })
    }

    fn document(&self, digest: &Digest) -> Option<String> {
        let blob = self.blob(digest)?;
        Some(format!("{blob}.manifest.json"))
    }
}
