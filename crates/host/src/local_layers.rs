//! Stores of this machine that have layers of images, for whatever is to be fetched.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use composefs_image::StoredLayers;
use containers::config::OVERLAY;
use containers::read::Storages;
use oci::source::{LocalLayers, StorageLayers};

use crate::bound_store::STORE;
use crate::{Access, composefs_store};

impl Access {
    /// The composefs repository, the store of bound images and podman's own storage, as far as they are there. What cannot be
    /// read has nothing: fetching is always possible.
    pub(crate) fn local_layers(&self) -> Vec<Arc<dyn LocalLayers>> {
        let Some(physical) = &self.stores else {
            return Vec::new();
        };
        let mut found: Vec<Arc<dyn LocalLayers>> = Vec::new();
        if let Ok(Some(store)) = composefs_store(physical.as_fd()) {
            found.push(Arc::new(StoredLayers::new(Arc::new(store))));
        }
        if let Ok(bound) = Storages::open(physical.as_fd(), [Path::new(STORE)]) {
            found.push(Arc::new(StorageLayers::new(bound)));
        }
        if let Some(own) = self.podmans_own() {
            found.push(Arc::new(StorageLayers::new(own)));
        }
        found
    }

    /// podman's storage and those that it reads as well.
    fn podmans_own(&self) -> Option<Storages> {
        let config = self.reads_storage.then(|| self.storage().ok()).flatten();
        let config = config.flatten().filter(|config| config.driver == OVERLAY)?;
        let paths = [&config.graph_root].into_iter().chain(&config.additional);
        let below = paths.map(|path| path.strip_prefix("/").unwrap_or(path));
        Storages::open(self.root.as_fd(), below).ok()
    }
}
