//! Images of roots: fetched into the composefs repository, or found there.

use composefs::Store;
use composefs_format::Digest;
use composefs_image::{RootKind, StoredImage};
use image::{BOOTABLE_LABEL, BOOTC_LABEL, label_of, version_of};
use oci::reference::OstreeImageReference;
use oci::source::open;
use serde::Serialize;

use crate::backend::Job;
use crate::composefs_pull::{Documents, composefs_pull_if};
use crate::layer_count::LayerCount;
use crate::pull::Check;
use crate::{ChangeError, ComposefsPullError, ComposefsPullOptions, PullError};

/// An image that was fetched for a root.
#[derive(Debug, Clone, Serialize)]
pub struct FetchedRoot {
    /// The digest of its manifest.
    pub digest: String,
    /// The version that it says it has.
    pub version: Option<String>,
    /// The digest of the image of composefs that is its root.
    pub root: String,
    /// Its layers.
    pub layers: LayerCount,
    /// Compressed bytes that were fetched.
    pub bytes_fetched: u64,
}

/// The images of composefs that were made of an image.
pub(crate) struct Made {
    pub(crate) fetched: FetchedRoot,
    /// As it is booted.
    pub(crate) root: Digest,
    /// With what is in `/boot`.
    pub(crate) with_boot: Digest,
}

/// Fetch an image unless it is there, if `agree` has nothing against it, and keep it under the name of what is followed.
pub(crate) fn fetch(
    store: &Store,
    image: &OstreeImageReference,
    follows: &OstreeImageReference,
    job: &Job<'_>,
    agree: impl FnOnce(&Documents) -> Result<(), ComposefsPullError>,
) -> Result<Made, ChangeError> {
    let name = follows.imgref.to_string();
    if job.options.from_downloaded {
        let stored = composefs_image::find(store, &name)?;
        check_label(&stored, image)?;
        return made(store, &stored, (0, 0), 0);
    }
    let choices = ComposefsPullOptions {
        name: Some(name),
        bootable: true,
        now: job.options.now,
    };
    let (access, progress) = (job.access, job.progress);
    let interrupt = job.interrupt;
    let pulled = composefs_pull_if(store, image, access, &choices, progress, interrupt, agree)?;
    let stored = composefs_image::find(store, &pulled.stored.manifest.to_string())?;
    check_label(&stored, image)?;
    let layers = (pulled.layers_fetched, pulled.layers_local);
    made(store, &stored, layers, pulled.bytes_fetched)
}

pub(crate) fn made(
    store: &Store,
    stored: &StoredImage,
    (fetched, local): (usize, usize),
    bytes_fetched: u64,
) -> Result<Made, ChangeError> {
    let image = |kind| {
        let found = stored.image(store, kind);
        found.ok_or(ChangeError::NotForImages(
            "an image that was pulled without a root",
        ))
    };
    let (root, with_boot) = (image(RootKind::Boot)?, image(RootKind::Plain)?);
    Ok(Made {
        fetched: FetchedRoot {
            digest: stored.manifest.digest().to_string(),
            version: version(stored),
            root: root.to_string(),
            layers: LayerCount {
                total: stored.layers.len(),
                fetched,
                local: Some(local),
            },
            bytes_fetched,
        },
        root,
        with_boot,
    })
}

/// The version that an image says it has.
pub(crate) fn version(stored: &StoredImage) -> Option<String> {
    version_of(stored.config.config()).map(str::to_owned)
}

/// What is not made for booting is refused.
fn check_label(stored: &StoredImage, image: &OstreeImageReference) -> Result<(), ChangeError> {
    let has = |label| label_of(stored.config.config(), label).is_some();
    match has(BOOTC_LABEL) || has(BOOTABLE_LABEL) {
        true => Ok(()),
        false => Err(ChangeError::NotBootable(Box::new(image.clone()))),
    }
}

/// Whether what is found at the source is another image than the one that is deployed, with the manifest `deployed`.
pub(crate) fn check(
    store: Option<&Store>,
    image: &OstreeImageReference,
    deployed: Option<&str>,
    job: &Job<'_>,
) -> Result<Check, ChangeError> {
    let found = at_source(image, job)?;
    let known = deployed.and_then(|digest| composefs_image::find(store?, digest).ok());
    let has = |digest: &oci::digest::Digest| {
        let mut layers = known.iter().flat_map(|known| known.manifest.layers());
        layers.any(|layer| layer.digest == *digest)
    };
    let all = found.manifest.layers();
    let new = all.iter().filter(|layer| !has(&layer.digest));
    let new: Vec<u64> = new.map(|layer| layer.size).collect();
    let layers = LayerCount {
        total: all.len(),
        fetched: new.len(),
        local: None,
    };
    let stored = deployed.and_then(|digest| digest.parse().ok());
    let digest = found.manifest.digest();
    let mut check = Check::of_manifests(image, digest, stored, layers, new.iter().sum());
    check.version = version_of(found.config.config()).map(str::to_owned);
    check.stored_version = known.as_ref().and_then(version);
    Ok(check)
}

pub(crate) fn at_source(
    image: &OstreeImageReference,
    job: &Job<'_>,
) -> Result<Documents, PullError> {
    let context = job.access.context(&image.imgref, job.interrupt)?;
    let source = open(&image.imgref, &context).map_err(Box::new)?;
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    let config = source.config(&manifest).map_err(Box::new)?;
    Ok(Documents { manifest, config })
}
