//! The store of bound images: a storage of podman's below the physical root, and what each root needs of it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use containers::{ContainerStore, ImageId, StoredContainerImage};
use durable::IoContext as _;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use sysroot::Sysroot;

use crate::BoundError;
use crate::bound_root::BoundRoot;

/// Where the store is, below the physical root; podman finds it by a link in the image.
pub(crate) const STORE: &str = "ostree/bootc/storage";
/// What programs keep meanwhile: below `/run`, and below a physical root that does not run.
const RUN: &str = "bootc/storage";
const RUN_OFFLINE: &str = "ostree/bootc/storage-run";
/// Which images each root binds, by name and digest: a file in the store.
const RECORD: &str = "bootroot-bound.json";
/// Largest record that is read.
const MAX_RECORD: u64 = 64 << 20;

/// Where the store of a system is.
#[derive(Debug, Clone, Copy)]
pub struct BoundPlace<'s> {
    root: BorrowedFd<'s>,
    run: Option<BorrowedFd<'s>>,
}

/// Digests by names, for each root.
type Record = BTreeMap<String, BTreeMap<String, String>>;

impl<'s> BoundPlace<'s> {
    /// Below this physical root, with the `/run` of the system, if it runs.
    #[must_use]
    pub const fn new(root: BorrowedFd<'s>, run: Option<BorrowedFd<'s>>) -> Self {
        Self { root, run }
    }

    pub(crate) fn of(sysroot: &'s Sysroot) -> Self {
        Self::new(sysroot.dir(), sysroot.run())
    }

    /// The store, if it is there.
    ///
    /// # Errors
    /// [`BoundError`].
    pub(crate) fn open(self) -> Result<Option<ContainerStore>, BoundError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(self.root, STORE, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.during("open directory", STORE)?,
        };
        let root = path_of(dir.as_fd())?;
        let run = match self.run {
            Some(run) => path_of(run)?.join(RUN),
            None => path_of(self.root)?.join(RUN_OFFLINE),
        };
        Ok(Some(ContainerStore::new(dir, root, run)))
    }

    /// The store, which is made when it is not there.
    ///
    /// # Errors
    /// [`BoundError`].
    pub(crate) fn make(self) -> Result<ContainerStore, BoundError> {
        durable::create_dir_all(self.root, Path::new(STORE), 0o755)?;
        let made = self.open()?;
        made.ok_or_else(|| BoundError::Gone(STORE.to_owned()))
    }
}

/// Where a directory is that is open: other programs take paths.
fn path_of(dir: BorrowedFd<'_>) -> Result<PathBuf, BoundError> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    Ok(std::fs::read_link(&link).during("follow", &link)?)
}

/// What roots were found to bind.
#[derive(Debug, Default)]
pub(crate) struct BoundRecord(Record);

impl BoundRecord {
    /// # Errors
    /// It cannot be read. One that cannot be understood says nothing: names decide then.
    pub(crate) fn read(store: &ContainerStore) -> Result<Self, BoundError> {
        let bytes = durable::read_optional(store.dir(), Path::new(RECORD), MAX_RECORD)?;
        let record = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Self(record.unwrap_or_default()))
    }

    pub(crate) fn write(&self, store: &ContainerStore) -> Result<(), BoundError> {
        let bytes = serde_json::to_vec_pretty(&self.0).unwrap_or_default();
        Ok(durable::publish(
            store.dir(),
            Path::new(RECORD),
            &bytes,
            0o600,
        )?)
    }

    /// The digest that a root binds by a name.
    pub(crate) fn digest(&self, root: &BoundRoot, name: &str) -> Option<&str> {
        self.0.get(&root.key)?.get(name).map(String::as_str)
    }

    pub(crate) fn knows(&self, root: &BoundRoot) -> bool {
        self.0.contains_key(&root.key)
    }

    pub(crate) fn set(&mut self, root: &BoundRoot, digests: BTreeMap<String, String>) {
        self.0.entry(root.key.clone()).or_default().extend(digests);
    }

    /// Whether a root keeps an image by this name, be it bound or not.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.0.values().any(|digests| digests.contains_key(name))
    }

    /// Forgets roots that are gone; whether there were any.
    pub(crate) fn keep(&mut self, roots: &[BoundRoot]) -> bool {
        let before = self.0.len();
        self.0
            .retain(|key, _| roots.iter().any(|root| root.key == *key));
        self.0.len() < before
    }

    /// The digests that `roots` bind.
    pub(crate) fn digests(&self, roots: &[BoundRoot]) -> BTreeSet<String> {
        let of_roots = roots.iter().filter_map(|root| self.0.get(&root.key));
        of_roots.flat_map(BTreeMap::values).cloned().collect()
    }
}

/// The images of a store, to be looked for in.
#[derive(Default)]
pub(crate) struct Shelf<'s> {
    /// Nothing where there is no store yet.
    store: Option<&'s ContainerStore>,
    images: Vec<StoredContainerImage>,
}

impl<'s> Shelf<'s> {
    pub(crate) fn new(store: &'s ContainerStore) -> Result<Self, BoundError> {
        let images = store.images()?;
        let store = Some(store);
        Ok(Self { store, images })
    }

    /// The image with that name.
    pub(crate) fn named(&self, name: &str) -> Option<&StoredContainerImage> {
        let mut images = self.images.iter();
        images.find(|image| image.names.iter().any(|other| other == name))
    }

    /// An image with that digest, whose layers are there.
    pub(crate) fn whole(&self, digest: &str) -> Option<&StoredContainerImage> {
        let mut images = self.images.iter();
        images.find(|image| image.digest == digest && self.is_whole(image))
    }

    pub(crate) fn is_whole(&self, image: &StoredContainerImage) -> bool {
        let id = image.id.parse::<ImageId>();
        let there = |id| self.store.and_then(|store| store.has_whole(&id).ok());
        id.is_ok_and(|id| there(id).unwrap_or_default())
    }

    /// The image that a root has bound to a name.
    pub(crate) fn bound(
        &self,
        record: &BoundRecord,
        root: &BoundRoot,
        name: &str,
    ) -> Option<&StoredContainerImage> {
        match record.digest(root, name) {
            Some(digest) => self.whole(digest),
            None => self.named(name).filter(|image| self.is_whole(image)),
        }
    }
}
