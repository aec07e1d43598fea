//! Image references on the command line.

use oci::reference::{ImageReference, OstreeImageReference};

/// An image, and how its signature is verified; a plain `TRANSPORT:NAME` means not at all.
pub(crate) fn image(text: &str) -> Result<OstreeImageReference, String> {
    OstreeImageReference::from_user(text).map_err(|error| error.to_string())
}

/// The name of a stored image; how its signature is verified does not matter.
pub(crate) fn stored(text: &str) -> Result<ImageReference, String> {
    image(text).map(|image| image.imgref)
}
