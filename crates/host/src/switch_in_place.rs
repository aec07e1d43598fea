//! Following another image without deploying anything: only the origin file changes.

use oci::reference::OstreeImageReference;
use serde::Serialize;
use sysroot::{Origin, Sysroot};

use crate::upgrade::image_of;
use crate::{ChangeError, ChangeOptions};

/// What is followed from now on (`docs/switch-in-place.schema.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwitchedInPlace {
    schema: &'static str,
    /// Whether it was changed, or only planned.
    pub made: bool,
    /// Whether anything is other than before.
    pub changed: bool,
    /// The deployment, as `STATEROOT COMMIT.SERIAL`.
    pub deployment: String,
    /// The image that it follows.
    pub image: String,
}

impl SwitchedInPlace {
    /// What was, or would be, changed.
    pub(crate) const fn new(made: bool, changed: bool, deployment: String, image: String) -> Self {
        Self {
            schema: "bootroot.switch-in-place/1",
            made,
            changed,
            deployment,
            image,
        }
    }
}

/// Let the running deployment follow `image`; where none is running, the one that was made last, which is what
/// installers mean. A signature that it had to have until now it must have still, unless `drop_signature`.
///
/// # Errors
/// [`ChangeError`]; the origin file is as it was then.
pub fn switch_origin_inplace(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    drop_signature: bool,
    options: &ChangeOptions,
) -> Result<SwitchedInPlace, ChangeError> {
    let locked = sysroot.lock(options.lock_timeout)?;
    let state = locked.load()?;
    let id = match state.booted() {
        Some(booted) => Some(booted.id.clone()),
        None => locked.find_newest_deployment()?,
    };
    let id = id.ok_or(ChangeError::NotFound(crate::Selector::Index(0)))?;
    let found = state.find(&id);
    let mut image = image.clone();
    if let Some(current) = found.map(image_of).transpose()?.flatten() {
        crate::upgrade::keep_signature(&mut image, Some(&current), drop_signature);
    }
    let mut origin = found
        .and_then(|found| found.origin.clone())
        .unwrap_or_default();
    let changed = origin.image_reference() != Some(image.to_string());
    Origin::follow_image(&mut origin, &image.to_string());
    if changed && !options.dry_run {
        locked.replace_origin(&id, &origin)?;
    }
    let (deployment, image) = (id.to_string(), image.to_string());
    let made = !options.dry_run;
    Ok(SwitchedInPlace::new(made, changed, deployment, image))
}
