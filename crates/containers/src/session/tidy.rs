//! Removing: images that are not wanted any more, and what nothing refers to.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use durable::{IoContext as _, Lock, crash_point};
use rustix::fs::{AtFlags, Dir};

use super::{StoreSession, open_dir};
use crate::lists::{
    CONTAINERS, ContainerRecord, IMAGES, ImageRecord, LAYERS, LayerRecord, VOLATILE_LAYERS,
    read_list,
};
use crate::store::{IMAGES_LOCK, LAYERS_LOCK};
use crate::{ContainerStore, ImageId, LayerId, StoreError, StoredContainerImage};

/// Behind the number of a layer, the file with its archive's headers.
const SPLIT: &str = ".tar-split.gz";

impl StoreSession<'_> {
    /// Remove the images that `wants` does not want, and layers that no image and no container needs then. How many
    /// images. Those of containers stay.
    ///
    /// # Errors
    /// [`StoreError`]; what was removed by then stays removed.
    pub fn collect(
        &self,
        wants: impl Fn(&StoredContainerImage) -> bool,
    ) -> Result<usize, StoreError> {
        let dir = self.store.dir();
        let containers: Vec<ContainerRecord> = read_list(dir, CONTAINERS)?;
        let lock = Lock::exclusive(dir, Path::new(IMAGES_LOCK), self.timeout)?;
        let mut images: Vec<ImageRecord> = read_list(dir, IMAGES)?;
        let before = images.len();
        images.retain(|image| {
            let runs = containers
                .iter()
                .any(|container| container.image == image.id);
            runs || wants(&StoredContainerImage::of(image))
        });
        let removed = before - images.len();
        if removed > 0 {
            self.store.replace_list(IMAGES, &images, IMAGES_LOCK)?;
            crash_point("containers:images-unlisted");
        }
        drop(lock);
        self.drop_layers(&images)?;
        self.tidy()?;
        Ok(removed)
    }

    /// Takes layers out of the list that nothing needs.
    fn drop_layers(&self, images: &[ImageRecord]) -> Result<(), StoreError> {
        let dir = self.store.dir();
        let lock = Lock::exclusive(dir, Path::new(LAYERS_LOCK), self.timeout)?;
        let mut layers: Vec<LayerRecord> = read_list(dir, LAYERS)?;
        let needed = self.store.needed(images, &layers)?;
        let before = layers.len();
        layers.retain(|layer| needed.contains(&layer.id));
        if layers.len() < before {
            self.store.replace_list(LAYERS, &layers, LAYERS_LOCK)?;
            crash_point("containers:layers-unlisted");
        }
        drop(lock);
        Ok(())
    }

    /// Removes what no list names: a process was killed that was to put it there, or to remove it.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let dir = self.store.dir();
        let layers_lock = Lock::exclusive(dir, Path::new(LAYERS_LOCK), self.timeout)?;
        let images_lock = Lock::exclusive(dir, Path::new(IMAGES_LOCK), self.timeout)?;
        let listed = self.store.listed_layers()?;
        let images: Vec<ImageRecord> = read_list(dir, IMAGES)?;
        for name in self.store.names("overlay")? {
            if name.parse::<LayerId>().is_ok() && !listed.contains(&name) {
                durable::remove_all(dir, &Path::new("overlay").join(&name))?;
            }
        }
        for name in self.store.names("overlay-layers")? {
            let id = name
                .strip_suffix(SPLIT)
                .filter(|id| id.parse::<LayerId>().is_ok());
            if id.is_some_and(|id| !listed.contains(id)) {
                durable::remove_all(dir, &Path::new("overlay-layers").join(&name))?;
            }
        }
        for name in self.store.names("overlay-images")? {
            let is_listed = images.iter().any(|image| image.id == name);
            if name.parse::<ImageId>().is_ok() && !is_listed {
                durable::remove_all(dir, &Path::new("overlay-images").join(&name))?;
            }
        }
        self.tidy_links(&listed)?;
        drop((layers_lock, images_lock));
        Ok(())
    }

    fn tidy_links(&self, listed: &BTreeSet<String>) -> Result<(), StoreError> {
        let dir = self.store.dir();
        for name in self.store.names("overlay/l")? {
            let path = Path::new("overlay/l").join(&name);
            let Ok(target) = rustix::fs::readlinkat(dir, &path, Vec::new()) else {
                continue;
            };
            let target = PathBuf::from(target.to_string_lossy().into_owned());
            let id = target
                .iter()
                .nth(1)
                .map(|id| id.to_string_lossy().into_owned());
            if id.is_some_and(|id| id.parse::<LayerId>().is_ok() && !listed.contains(&id)) {
                let removed = rustix::fs::unlinkat(dir, &path, AtFlags::empty());
                removed.during("remove", &path)?;
            }
        }
        Ok(())
    }
}

impl ContainerStore {
    /// The layers of images and of containers, and those below.
    fn needed(
        &self,
        images: &[ImageRecord],
        layers: &[LayerRecord],
    ) -> Result<BTreeSet<String>, StoreError> {
        let containers: Vec<serde_json::Value> = read_list(self.dir(), CONTAINERS)?;
        let of_containers = containers.iter().filter_map(|one| one["layer"].as_str());
        let of_images = images.iter().map(|image| image.layer.as_str());
        let volatile: Vec<LayerRecord> = read_list(self.dir(), VOLATILE_LAYERS)?;
        let of_volatile = volatile.iter().map(|layer| layer.parent.as_str());
        let mut needed = BTreeSet::new();
        for top in of_images.chain(of_containers).chain(of_volatile) {
            let mut next = top.to_owned();
            while !next.is_empty() && needed.insert(next.clone()) {
                let found = layers.iter().find(|layer| layer.id == next);
                next = found.map(|layer| layer.parent.clone()).unwrap_or_default();
            }
        }
        Ok(needed)
    }

    fn listed_layers(&self) -> Result<BTreeSet<String>, StoreError> {
        let mut layers: Vec<LayerRecord> = read_list(self.dir(), LAYERS)?;
        layers.extend(read_list(self.dir(), VOLATILE_LAYERS)?);
        Ok(layers.into_iter().map(|layer| layer.id).collect())
    }

    fn names(&self, path: &str) -> Result<Vec<String>, StoreError> {
        let dir = open_dir(self.dir(), Path::new(path))?;
        let mut names = Vec::new();
        for entry in Dir::read_from(dir.as_fd()).during("list", path)? {
            let entry = entry.during("list", path)?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}
