//! The common questions about an image, in one call each.

use crate::context::Context;
use crate::manifest::RawConfig;
use crate::reference::OstreeImageReference;
use crate::source::{self, Error, Resolved};

/// The manifest of an image for the context's platform; its digest identifies the image.
///
/// # Errors
/// Those of [`source::open_verified`] and of
/// [`ImageSource::manifest`](source::ImageSource::manifest).
pub fn fetch_manifest(
    reference: &OstreeImageReference,
    context: &Context,
) -> Result<Resolved, Error> {
    source::open_verified(reference, context)?.manifest()
}

/// The manifest of an image for the context's platform, and its configuration.
///
/// # Errors
/// Those of [`fetch_manifest`] and of [`ImageSource::config`](source::ImageSource::config).
pub fn fetch_manifest_and_config(
    reference: &OstreeImageReference,
    context: &Context,
) -> Result<(Resolved, RawConfig), Error> {
    let source = source::open_verified(reference, context)?;
    let resolved = source.manifest()?;
    let config = source.config(&resolved.manifest)?;
    Ok((resolved, config))
}
