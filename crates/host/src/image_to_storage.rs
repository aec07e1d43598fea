//! Giving podman an image that is stored.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use containers::config::OVERLAY;
use containers::{ContainerStore, StoreError};
use containers_image::{ImageError, WantedImage};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use image::{ExportToOCIOpts, WrittenImage};
use oci::reference::ImageReference;
use oci::source::{Error as SourceError, open};
use ostree::Repo;
use progress::{Interrupt, Progress};
use rustix::fs::{Mode, OFlags};

use crate::bound_images::LOCK_TIMEOUT;
use crate::bound_root::{full_name, labeler};
use crate::{Access, AccessError, BoundError, ContainerError, image_export};

/// Why podman was not given an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToStorageError {
    /// The stored image cannot be made one again.
    #[error(transparent)]
    Export(#[from] ContainerError),
    /// The copy cannot be read.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// podman's storage cannot be found.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The name cannot be understood.
    #[error(transparent)]
    Name(#[from] Box<BoundError>),
    /// The image cannot be stored.
    #[error(transparent)]
    Image(#[from] Box<ImageError>),
    /// podman's storage cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for ToStorageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Export(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::Access(error) => error.class(),
            Self::Name(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// Give podman a stored image by this name, on the way through an OCI directory. Whether podman's storage is one that is
/// written here; if not, the image is in the directory only.
///
/// # Errors
/// [`ToStorageError`]; podman has the name as before then.
#[expect(
    clippy::too_many_arguments,
    reason = "two places, two names, and what all take"
)]
pub fn copy_to_storage(
    repo: &Repo,
    source: &ImageReference,
    scratch: &ImageReference,
    name: &str,
    access: &Access,
    now: u64,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(WrittenImage, bool), ToStorageError> {
    let options = ExportToOCIOpts::default();
    let written = image_export(repo, source, scratch, access, &options, progress, interrupt)?;
    let config = match access.reads_storage {
        true => access.storage()?.filter(|config| config.driver == OVERLAY),
        false => None,
    };
    let Some(config) = config else {
        return Ok((written, false));
    };
    let name = full_name(name).map_err(Box::new)?;
    let context = access.context(scratch, interrupt)?;
    let copy = open(scratch, &context).map_err(Box::new)?;
    let manifest = copy.manifest().map_err(Box::new)?.manifest;
    let documents = copy.config(&manifest).map_err(Box::new)?;
    // Labels are those of the system that the image is, which may be the one that runs.
    let policy = image::query_image(repo, source).ok().flatten();
    let policy =
        policy.and_then(|state| image::policy_of_commit(repo, &state.merge_commit).ok()?);
    let store = open_storage(access, &config.graph_root)?.labelled(policy.map(labeler));
    let session = store.begin(now, LOCK_TIMEOUT)?;
    let wanted = [WantedImage {
        source: copy.as_ref(),
        manifest: &manifest,
        config: &documents,
        names: vec![name],
    }];
    let none = BTreeSet::new();
    let pulled = containers_image::pull(&session, &wanted, &none, progress, interrupt);
    pulled.map_err(Box::new)?;
    Ok((written, true))
}

/// The storage in a directory, which is made when it is not there.
fn open_storage(access: &Access, path: &Path) -> Result<ContainerStore, ToStorageError> {
    let below = path.strip_prefix("/").unwrap_or(path);
    durable::create_dir_all(access.root.as_fd(), below, 0o700)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir: OwnedFd =
        rustix::fs::openat(&access.root, below, flags, Mode::empty()).during("open", path)?;
    Ok(ContainerStore::new(dir, path.to_owned(), PathBuf::new()))
}
