//! An OCI image layout in an archive.

use super::tar::TarFiles;
use crate::context::Context;
use crate::layout::{Layout, LayoutError, layout_result};
use crate::reference::{ImageReference, PathReference};
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
    let name = PathReference::parse(&reference.name);
    let opened = TarFiles::open(context.files(), &name.path)
        .map_err(LayoutError::from)
        .and_then(|files| Layout::open(files, &name, reference, context));
    layout_result(reference, opened)
}
