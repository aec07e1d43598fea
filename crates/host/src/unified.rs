//! The image of the system itself, for podman to run as well: in the store of bound images, kept and renewed with the
//! system.

use std::collections::{BTreeMap, BTreeSet};

use containers_image::{FilesOfImage, WantedImage};
use error_class::{Classified, ErrorClass};
use image::{QueryError, query_image_commit};
use oci::digest::Digest;
use oci::reference::{ImageReference, OstreeImageReference, Transport};
use oci::source::open;
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use sysroot::{LoadError, Sysroot};

use crate::bound_images::{Asked, LOCK_TIMEOUT, Resolved, plan};
use crate::bound_root::{Bound, full_name, parse};
use crate::bound_store::{BoundPlace, BoundRecord};
use crate::files_of_commit::FilesOfCommit;
use crate::upgrade::image_of;
use crate::{Access, BoundError, BoundPlan, ChangeError, composefs_store};

/// The system's image is not in the store of bound images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnifyError {
    /// There is no deployment of an image.
    #[error("no deployment follows an image; deploy one first")]
    NoImage,
    /// It cannot be fetched again by its digest.
    #[error("{0} is not from a registry; switch to an image of a registry first")]
    NoRegistry(Box<OstreeImageReference>),
    /// It cannot be stored.
    #[error(transparent)]
    Bound(#[from] BoundError),
    /// What is stored of it cannot be read.
    #[error(transparent)]
    Query(#[from] Box<QueryError>),
    /// What is deployed cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What a deployment follows cannot be understood.
    #[error(transparent)]
    Follows(#[from] Box<ChangeError>),
}

impl Classified for UnifyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoImage => ErrorClass::NotFound,
            Self::NoRegistry(_) => ErrorClass::Unsupported,
            Self::Bound(error) => error.class(),
            Self::Query(error) => error.class(),
            Self::Load(error) => error.class(),
            Self::Follows(error) => error.class(),
        }
    }
}

/// Bring the image of the system that runs, or boots first, into the store of bound images. It stays there as long as the
/// system does, and upgrades bring their image there, too.
///
/// # Errors
/// [`UnifyError`]; the store has the image entirely or not at all.
pub fn set_unified(
    sysroot: &Sysroot,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<BoundPlan, UnifyError> {
    let state = sysroot.load()?;
    let first = state.booted().or(state.deployments.first());
    let deployment = first.ok_or(UnifyError::NoImage)?;
    let image = image_of(deployment).map_err(Box::new)?;
    let image = image.ok_or(UnifyError::NoImage)?;
    let name = registry_name(&image)?.ok_or_else(|| UnifyError::NoRegistry(Box::new(image)))?;
    let commit = &deployment.id.commit;
    let stored = query_image_commit(sysroot.repo(), commit).map_err(Box::new)?;
    let asked = Asked::new(access, now, progress, interrupt);
    let image = (commit, &stored.manifest_digest);
    Ok(fetch_image(sysroot, &name, image, &asked)?)
}

/// As [`set_unified`] for a newer image, if the store has the one before.
pub(crate) fn keep_unified(
    sysroot: &Sysroot,
    image: &OstreeImageReference,
    (commit, digest): (&Checksum, &Digest),
    asked: &Asked<'_>,
) -> Result<(), BoundError> {
    let place = BoundPlace::of(sysroot);
    let Some((name, store)) = registry_name(image)?.zip(place.open()?) else {
        return Ok(());
    };
    if !BoundRecord::read(&store)?.has_name(&name) {
        return Ok(());
    }
    fetch_image(sysroot, &name, (commit, digest), asked).map(drop)
}

/// The name that podman has an image of a registry by.
fn registry_name(image: &OstreeImageReference) -> Result<Option<String>, BoundError> {
    let is_there = image.imgref.transport == Transport::Registry;
    is_there.then(|| full_name(&image.imgref.name)).transpose()
}

fn fetch_image(
    sysroot: &Sysroot,
    name: &str,
    (commit, digest): (&Checksum, &Digest),
    asked: &Asked<'_>,
) -> Result<BoundPlan, BoundError> {
    let pinned = parse(name)?.pinned(digest).to_string();
    let found = match stored(sysroot, &pinned, (commit, digest), asked)? {
        Some(found) => found,
        None => asked.resolve(&Bound {
            name: pinned,
            auth_file: None,
        })?,
    };
    let root = crate::bound_images::labelled(sysroot, commit)?;
    let store = BoundPlace::of(sysroot)
        .make()?
        .labelled(root.labeler.clone());
    let session = store.begin(asked.now, LOCK_TIMEOUT)?;
    let digests = BTreeMap::from([(name.to_owned(), digest.to_string())]);
    let found = [found];
    let mut plan = plan(Some(&store), &digests, &found)?;
    plan.has_room(&store, asked.progress)?;
    let files = FilesOfCommit::new(sysroot.repo(), *commit);
    let wanted = found.iter().map(|found| WantedImage {
        files: files.as_ref().map(|files| -> &dyn FilesOfImage { files }),
        ..found.wanted_as(vec![name.to_owned()])
    });
    let (wanted, none) = (wanted.collect::<Vec<_>>(), BTreeSet::new());
    let pulled = containers_image::pull(&session, &wanted, &none, asked.progress, asked.interrupt);
    plan.carried_out(&pulled.map_err(|error| BoundError::Fetch(Box::new(error)))?);
    let mut record = BoundRecord::read(&store)?;
    record.set(&root, digests);
    record.write(&store)?;
    Ok(plan)
}

/// The image, whose documents another store has: no registry is asked for what is deployed, unless layers are missing. Who
/// vouches for it was asked when it was pulled.
fn stored(
    sysroot: &Sysroot,
    name: &str,
    (commit, digest): (&Checksum, &Digest),
    asked: &Asked<'_>,
) -> Result<Option<Resolved>, BoundError> {
    let composefs = composefs_store(sysroot.dir()).ok().flatten();
    let image = composefs.and_then(|store| composefs_image::find(&store, &digest.to_string()).ok());
    let documents = match image {
        Some(image) => Some((image.manifest, image.config)),
        None => image::stored_documents(sysroot.repo(), commit)
            .ok()
            .flatten(),
    };
    let Some((manifest, config)) = documents else {
        return Ok(None);
    };
    let reference = ImageReference::new(Transport::Registry, name.to_owned());
    let context = asked.access.context(&reference, asked.interrupt)?;
    let source = open(&reference, &context).map_err(|source| BoundError::Resolve {
        image: name.to_owned(),
        source: Box::new(source),
    })?;
    Ok(Some(Resolved {
        name: name.to_owned(),
        source,
        manifest,
        config,
    }))
}
