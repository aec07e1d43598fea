//! From an image back to the commit that it wraps.

use error_class::{Classified, ErrorClass};
use oci::digest::Digest;
use oci::reference::ImageReference;
use oci::source::ImageSource;
use ostree::{Expect, Repo, TransactionOptions, WriteError};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Progress};

use crate::collect::{PullLock, collect_layers};
use crate::layout::{LayerRole, roles};
use crate::plan::{PlanError, Prepared, prepare};
use crate::{ImportError, ImportOptions};

/// A commit that came out of an image.
#[derive(Debug, Clone)]
pub struct Unencapsulated {
    /// The commit.
    pub commit: Checksum,
    /// The digest of the image's manifest.
    pub manifest_digest: Digest,
}

/// Why no commit came out of an image. No ref was moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnencapsulateError {
    /// The image cannot be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The image wraps no commit.
    #[error("image {0} wraps no commit; pull it as an image instead")]
    NotEncapsulated(ImageReference),
    /// There is more in the image than the commit.
    #[error(
        "image {image} has {count} layers above the commit that it wraps, which would be lost; pull it as an \
         image instead"
    )]
    Derived {
        /// The image.
        image: ImageReference,
        /// How many layers there are above.
        count: usize,
    },
    /// The layers cannot be fetched.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The ref cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Classified for UnencapsulateError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Plan(error) => error.class(),
            Self::NotEncapsulated(_) | Self::Derived { .. } => ErrorClass::InvalidInput,
            Self::Import(error) => error.class(),
            Self::Write(error) => error.class(),
        }
    }
}

/// Fetch the commit that the image of `source` wraps. If `accept` takes it, `name` holds it, if there is
/// one. The image itself is not kept: the refs of its layers go, unless a stored image has them, too.
///
/// # Errors
/// [`UnencapsulateError`], or what `accept` says. Layers that were complete stay until they are collected.
pub fn unencapsulate<E: From<UnencapsulateError>>(
    repo: &Repo,
    source: &dyn ImageSource,
    name: Option<Refspec>,
    accept: impl FnOnce(&Unencapsulated) -> Result<(), E>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Unencapsulated, E> {
    let lock = PullLock::hold(repo).map_err(UnencapsulateError::from)?;
    let taken = fetch(repo, source, progress, interrupt)?;
    let accepted = accept(&taken);
    if let (Some(name), Ok(())) = (name, &accepted) {
        set_ref(repo, name, taken.commit, progress, interrupt).map_err(UnencapsulateError::from)?;
    }
    drop(lock);
    if let Err(error) = collect_layers(repo) {
        progress.note(&format!("cannot collect unused layers: {error}"));
    }
    accepted.map(|()| taken)
}

/// The objects of the commit, held by the refs of its layers.
fn fetch(
    repo: &Repo,
    source: &dyn ImageSource,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Unencapsulated, UnencapsulateError> {
    let image = source.reference();
    match prepare(repo, source, &ImportOptions::default(), progress)? {
        Prepared::AlreadyPresent(state) => {
            let diff_ids = state.diff_ids().map_err(PlanError::from)?;
            let roles = roles(&state.configuration, &diff_ids);
            refuse_other(image, &roles.unwrap_or_default())?;
            let commit = state.base_commit;
            let commit =
                commit.ok_or_else(|| UnencapsulateError::NotEncapsulated(image.clone()))?;
            Ok(Unencapsulated {
                commit,
                manifest_digest: state.manifest_digest.clone(),
            })
        }
        Prepared::Ready(plan) => {
            let roles: Vec<LayerRole> = plan.layers.iter().map(|layer| layer.role).collect();
            refuse_other(image, &roles)?;
            Ok(Unencapsulated {
                commit: plan.import_base(repo, source, progress, interrupt)?,
                manifest_digest: plan.manifest.digest().clone(),
            })
        }
    }
}

fn set_ref(
    repo: &Repo,
    name: Refspec,
    commit: Checksum,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), WriteError> {
    let txn = repo.begin(TransactionOptions::default())?;
    txn.set_ref(name, Expect::Any, Some(commit));
    txn.commit(progress, interrupt).map(drop)
}

/// Only an image that is nothing but the commit can be turned back into it.
fn refuse_other(image: &ImageReference, roles: &[LayerRole]) -> Result<(), UnencapsulateError> {
    if roles.first() != Some(&LayerRole::Commit) {
        return Err(UnencapsulateError::NotEncapsulated(image.clone()));
    }
    let derived = roles.iter().filter(|role| **role == LayerRole::Derived);
    match derived.count() {
        0 => Ok(()),
        count => Err(UnencapsulateError::Derived {
            image: image.clone(),
            count,
        }),
    }
}
