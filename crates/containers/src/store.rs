//! A storage of podman's in a directory, of the driver `overlay`.
//!
//! Source of the layout: `containers-storage(1)`; `containers-storage.conf(5)`; what `skopeo` 1.9.3 makes.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use durable::{IoContext as _, LockError, setting_attribute};
use error_class::{Classified, ErrorClass};
use rustix::fs::{AtFlags, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::lists::{IMAGES, ImageRecord, LAYERS, LayerRecord, read_list, write_list};
use crate::{ImageId, LayerId};

/// Locked by whoever changes the list of images.
pub(crate) const IMAGES_LOCK: &str = "overlay-images/images.lock";
/// Locked by whoever changes the list of layers.
pub(crate) const LAYERS_LOCK: &str = "overlay-layers/layers.lock";
const DIRECTORIES: [(&str, u32); 5] = [
    ("", 0o700),
    ("overlay", 0o700),
    ("overlay/l", 0o755),
    ("overlay-images", 0o700),
    ("overlay-layers", 0o700),
];
/// Who changed something last: so many bytes in a lock file, by which others notice.
const LAST_WRITER: usize = 64;
const SELINUX_XATTR: &str = "security.selinux";

/// What a file in a storage is labelled with, by its path in the storage and its mode: the attribute's value.
pub type Labeler = Arc<dyn Fn(&str, u32) -> Option<Vec<u8>> + Send + Sync>;

/// A store of podman's.
pub struct ContainerStore {
    dir: OwnedFd,
    root: PathBuf,
    run: PathBuf,
    labeler: Option<Labeler>,
}

/// An image in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredContainerImage {
    /// Its identifier: the digest of its configuration.
    pub id: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Its names, with registry and tag.
    pub names: Vec<String>,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Its list cannot be understood.
    #[error("the list {path} of podman's storage is damaged: {source}")]
    Damaged {
        /// The list.
        path: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// No mount puts as many together.
    #[error("there are too many layers below {0}; build the image with fewer")]
    TooManyLayers(LayerId),
    /// Somebody else is at work on the store.
    #[error("podman's storage is in use: {0}")]
    Locked(#[from] LockError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::TooManyLayers(_) => ErrorClass::Unsupported,
            Self::Locked(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl std::fmt::Debug for ContainerStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerStore")
            .field("root", &self.root)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl StoredContainerImage {
    pub(crate) fn of(record: &ImageRecord) -> Self {
        Self {
            id: record.id.clone(),
            digest: record.digest.clone(),
            names: record.names.clone(),
        }
    }
}

impl ContainerStore {
    /// The store in a directory, and the directory where programs keep what does not outlive the system.
    #[must_use]
    pub fn new(dir: OwnedFd, root: PathBuf, run: PathBuf) -> Self {
        Self {
            // Programs mount a directory in there over itself while they run.
            dir: durable::reach_bare(dir.as_fd()).unwrap_or(dir),
            root,
            run,
            labeler: None,
        }
    }

    /// What is written from now on gets labels of SELinux.
    #[must_use]
    pub fn labelled(mut self, labeler: Option<Labeler>) -> Self {
        self.labeler = labeler;
        self
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Where it is, and where programs keep what does not outlive the system.
    #[must_use]
    pub fn places(&self) -> (&Path, &Path) {
        (&self.root, &self.run)
    }

    /// The images that are in it.
    ///
    /// # Errors
    /// [`StoreError`]; an empty store has none.
    pub fn images(&self) -> Result<Vec<StoredContainerImage>, StoreError> {
        let list: Vec<ImageRecord> = read_list(self.dir(), IMAGES)?;
        Ok(list.iter().map(StoredContainerImage::of).collect())
    }

    /// The image with this full name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn named(&self, name: &str) -> Result<Option<StoredContainerImage>, StoreError> {
        let mut images = self.images()?.into_iter();
        Ok(images.find(|image| image.names.iter().any(|other| other == name)))
    }

    /// Whether a layer is there, as far as that can be told without reading it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_layer(&self, id: &LayerId) -> Result<bool, StoreError> {
        let list: Vec<LayerRecord> = read_list(self.dir(), LAYERS)?;
        let mut list = list.iter();
        let is_listed = list.any(|layer| layer.id == id.as_str() && !layer.is_incomplete());
        let diff = Path::new("overlay").join(id.as_str()).join("diff");
        Ok(is_listed && self.exists(&diff) && self.exists(&self.split_of(id)))
    }

    /// The layers of an image, the highest first; nothing when the image is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn layers_of(&self, id: &ImageId) -> Result<Vec<LayerId>, StoreError> {
        let images: Vec<ImageRecord> = read_list(self.dir(), IMAGES)?;
        let image = images.into_iter().find(|image| image.id == id.as_str());
        let layers: Vec<LayerRecord> = read_list(self.dir(), LAYERS)?;
        let mut found = Vec::new();
        let mut next = image.map(|image| image.layer).unwrap_or_default();
        while let Ok(layer) = next.parse::<LayerId>() {
            let below = layers.iter().find(|other| other.id == next);
            next = below.map(|layer| layer.parent.clone()).unwrap_or_default();
            if found.contains(&layer) {
                break;
            }
            found.push(layer);
        }
        Ok(found)
    }

    /// Whether an image is there by this number, with all its layers as far as that can be told without reading them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_whole(&self, id: &ImageId) -> Result<bool, StoreError> {
        for layer in self.layers_of(id)? {
            if !self.has_layer(&layer)? {
                return Ok(false);
            }
        }
        let mut images = self.images()?.into_iter();
        Ok(images.any(|image| image.id == id.as_str()))
    }

    /// The file with the headers of a layer's archive.
    pub(crate) fn split_of(&self, id: &LayerId) -> PathBuf {
        format!("overlay-layers/{id}.tar-split.gz").into()
    }

    fn exists(&self, path: &Path) -> bool {
        rustix::fs::statat(&self.dir, path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Makes the directories and lock files that programs expect which only read.
    pub(crate) fn ensure(&self) -> Result<(), StoreError> {
        for (path, mode) in DIRECTORIES {
            let place = if path.is_empty() { "." } else { path };
            match rustix::fs::mkdirat(&self.dir, place, Mode::from_raw_mode(mode)) {
                Err(Errno::EXIST) => {}
                made => {
                    made.during("create", place)?;
                    self.set_label(self.dir(), Path::new(place), path, 0o040_700)?;
                }
            }
        }
        for path in [IMAGES_LOCK, LAYERS_LOCK] {
            let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
            let file = rustix::fs::openat(&self.dir, path, flags, Mode::from_raw_mode(0o644));
            drop(file.during("create", path)?);
            self.set_label(self.dir(), Path::new(path), path, 0o100_644)?;
        }
        Ok(())
    }

    /// Replaces a list and lets others notice; whoever does so holds the lock.
    pub(crate) fn replace_list<T: Serialize>(
        &self,
        path: &'static str,
        list: &[T],
        lock: &str,
    ) -> Result<(), StoreError> {
        write_list(self.dir(), path, list)?;
        self.set_label(self.dir(), Path::new(path), path, 0o100_600)?;
        self.touch(lock)
    }

    /// Others read a list again when they see that its lock file has changed.
    fn touch(&self, lock: &str) -> Result<(), StoreError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.dir, lock, flags, Mode::empty());
        let file = file.during("open", lock)?;
        let mut last = [0; LAST_WRITER];
        rustix::io::pread(&file, &mut last, 0).during("read", lock)?;
        if let Some(count) = last.first_chunk_mut::<8>() {
            *count = u64::from_le_bytes(*count).wrapping_add(1).to_le_bytes();
        }
        rustix::io::pwrite(&file, &last, 0).during("write", lock)?;
        Ok(())
    }

    /// What a file is labelled with that is at this path in the store.
    pub(crate) fn label(&self, path: &str, mode: u32) -> Option<Vec<u8>> {
        self.labeler.as_ref().and_then(|label| label(path, mode))
    }

    /// Labels a file as what is to be at `stored`.
    pub(crate) fn set_label(
        &self,
        dir: BorrowedFd<'_>,
        path: &Path,
        stored: &str,
        mode: u32,
    ) -> Result<(), StoreError> {
        if let Some(label) = self.label(stored, mode) {
            // Attributes of links have no call that takes a descriptor.
            let place = Path::new("/proc/self/fd")
                .join(dir.as_raw_fd().to_string())
                .join(path);
            let set = rustix::fs::lsetxattr(place, SELINUX_XATTR, &label, XattrFlags::empty());
            set.during(setting_attribute(SELINUX_XATTR.as_bytes()), path)?;
        }
        Ok(())
    }
}
