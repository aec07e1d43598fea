//! An OCI image layout in an archive.

use super::tar::TarFiles;
use crate::context::Context;
use crate::layout;
use crate::reference::ImageReference;
use crate::source::{Error, ImageSource};

/// Opens an image in a layout archive: `oci-archive:path`, `oci-archive:path:tag` or
/// `oci-archive:path@digest`. The archive must not be compressed.
///
/// # Errors
/// The file is not such an archive, or does not have the image.
pub fn open_oci(
    reference: &ImageReference,
    context: &Context,
) -> Result<Box<dyn ImageSource>, Error> {
    layout::open(reference, context, |path| {
        TarFiles::open(context.files(), path)
    })
}
