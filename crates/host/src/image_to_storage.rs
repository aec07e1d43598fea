//! Giving podman an image that is stored.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use composefs::Store;
use containers::config::{Config, OVERLAY};
use containers::{ContainerStore, Labeler, StoreError};
use containers_image::{FilesOfImage, ImageError, Pulled, StorageSink, Stored, WantedImage};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use image::{ExportImageError, ExportToOCIOpts};
use layer::Packing;
use oci::reference::ImageReference;
use oci::source::open_here;
use ostree::Repo;
use progress::{Interrupt, Progress};
use rustix::fs::{Mode, OFlags};

use crate::bound_images::LOCK_TIMEOUT;
use crate::bound_root::{full_name, labeler};
use crate::files_of_commit::FilesOfCommit;
use crate::{Access, AccessError, BoundError};

/// Why podman was not given an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToStorageError {
    /// The stored image cannot be made one again.
    #[error(transparent)]
    Export(#[from] Box<ExportImageError>),
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
            Self::Access(error) => error.class(),
            Self::Name(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// How podman is given an image: by which name, and where its storage is.
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "who is told has no form")]
#[expect(clippy::exhaustive_structs, reason = "what all ways to do it need")]
pub struct ForPodman<'a> {
    /// The name that the image has then.
    pub name: &'a str,
    /// Where podman's storage is.
    pub access: &'a Access,
    /// Seconds since 1970.
    pub now: u64,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// What stops it.
    pub interrupt: &'a Interrupt,
}

/// What podman was given.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GivenToPodman {
    /// The digest of its manifest.
    pub digest: String,
    /// Bytes of files that other stores have as well, and that stand on disk once.
    pub shared: u64,
}

impl ForPodman<'_> {
    /// Give podman an image of the repository of commits, whose layers are unpacked while they are made; nothing when podman's
    /// storage is none that is written here.
    ///
    /// # Errors
    /// [`ToStorageError`]; podman has the name as before then.
    pub fn give_commit(
        &self,
        repo: &Repo,
        source: &ImageReference,
    ) -> Result<Option<GivenToPodman>, ToStorageError> {
        let Some(config) = self.storage()? else {
            return Ok(None);
        };
        let state = image::query_image(repo, source).ok().flatten();
        let files = state.and_then(|state| FilesOfCommit::new(repo, state.merge_commit));
        let files = files.map(|files| -> Arc<dyn FilesOfImage + Send> { Arc::new(files) });
        let name = full_name(self.name).map_err(Box::new)?;
        let store = open_storage(self.access, &config.graph_root)?.labelled(labels(repo, source));
        let session = store.begin(self.now, LOCK_TIMEOUT)?;
        let mut stored = Stored::default();
        let sink = StorageSink::new(&session, name, files, self.interrupt, &mut stored);
        let mut options = ExportToOCIOpts::default();
        options.compression.packing = Packing::Plain;
        let (progress, interrupt) = (self.progress, self.interrupt);
        let sink = Box::new(sink);
        let written = image::export(repo, source, sink, None, &options, progress, interrupt);
        Ok(Some(GivenToPodman {
            digest: written.map_err(Box::new)?.digest,
            shared: stored.shared,
        }))
    }

    /// Give podman an image of the composefs repository, layer for layer as it was fetched; nothing when it is not there, or
    /// podman's storage is none that is written here. Which image a name stands for, `repo` tells first.
    ///
    /// # Errors
    /// [`ToStorageError`]; podman has the name as before then.
    pub fn give_composefs(
        &self,
        store: &Store,
        repo: Option<&Repo>,
        source: &ImageReference,
    ) -> Result<Option<GivenToPodman>, ToStorageError> {
        let state = repo.and_then(|repo| image::query_image(repo, source).ok()?);
        // The name may stand for another image there.
        let digest = state.map(|state| state.manifest_digest.to_string());
        let name = digest.unwrap_or_else(|| source.to_string());
        let found = composefs_image::find(store, &name).ok();
        let Some((image, config)) = found.zip(self.storage()?) else {
            return Ok(None);
        };
        let context = self.access.context(source, self.interrupt)?;
        let here = open_here(source, &context);
        let wanted = WantedImage {
            source: here.as_ref(),
            manifest: &image.manifest,
            config: &image.config,
            names: Vec::new(),
            files: None,
        };
        let policy = composefs_image::policy_of_image(store, &image)
            .ok()
            .flatten();
        let labels = policy.map(labeler);
        Ok(Some(GivenToPodman {
            digest: image.manifest.digest().to_string(),
            shared: self.store(&config, &wanted, labels)?.shared,
        }))
    }

    /// podman's storage, where that is one that is written here.
    fn storage(&self) -> Result<Option<Config>, ToStorageError> {
        if !self.access.reads_storage {
            return Ok(None);
        }
        let config = self.access.storage()?;
        Ok(config.filter(|config| config.driver == OVERLAY))
    }

    fn store(
        &self,
        config: &Config,
        wanted: &WantedImage<'_>,
        labels: Option<Labeler>,
    ) -> Result<Pulled, ToStorageError> {
        let names = vec![full_name(self.name).map_err(Box::new)?];
        let store = open_storage(self.access, &config.graph_root)?.labelled(labels);
        let session = store.begin(self.now, LOCK_TIMEOUT)?;
        let wanted = [WantedImage {
            names,
            ..wanted.clone()
        }];
        let none = BTreeSet::new();
        let (progress, interrupt) = (self.progress, self.interrupt);
        let pulled = containers_image::pull(&session, &wanted, &none, progress, interrupt);
        Ok(pulled.map_err(Box::new)?)
    }
}

/// Labels are those of the system that the image is, which may be the one that runs.
fn labels(repo: &Repo, source: &ImageReference) -> Option<Labeler> {
    let state = image::query_image(repo, source).ok().flatten()?;
    let policy = image::policy_of_commit(repo, &state.merge_commit).ok()?;
    policy.map(labeler)
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
