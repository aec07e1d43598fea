//! Verifying a storage: archives made again from files, documents, and what lists say of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use progress::{Interrupt, Interrupted};
use sha2::{Digest as _, Sha256};

use crate::lists::{IMAGES, ImageRecord, LAYERS, LayerRecord, read_list};
use crate::session::file_of;
use crate::{ContainerStore, ImageId, LayerId, StoreError};

/// Largest document that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// What was found in a storage.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoreReport {
    /// Layers and images that were looked at.
    pub looked_at: u64,
    /// What is wrong.
    pub damage: Vec<StoreDamage>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreDamage {
    /// A list cannot be read: nobody knows what is there.
    List {
        /// The list.
        path: &'static str,
        /// Why.
        cause: String,
    },
    /// A layer is not what it was.
    Layer {
        /// The layer.
        id: LayerId,
        /// What is wrong.
        cause: String,
    },
    /// An image is not what it was, apart from its layers.
    Image {
        /// The image.
        id: ImageId,
        /// What is wrong.
        cause: String,
    },
}

impl fmt::Display for StoreDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List { path, cause } => write!(f, "{path}: {cause}"),
            Self::Layer { id, cause } => write!(f, "layer {id}: {cause}"),
            Self::Image { id, cause } => write!(f, "image {id}: {cause}"),
        }
    }
}

impl StoreReport {
    /// The layers that are damaged.
    #[must_use]
    pub fn layers(&self) -> BTreeSet<LayerId> {
        let layers = self.damage.iter().filter_map(|damage| match damage {
            StoreDamage::Layer { id, .. } => Some(id.clone()),
            _ => None,
        });
        layers.collect()
    }

    fn layer(&mut self, id: &LayerId, cause: impl fmt::Display) {
        let cause = cause.to_string();
        self.damage.push(StoreDamage::Layer {
            id: id.clone(),
            cause,
        });
    }

    fn image(&mut self, id: &ImageId, cause: impl fmt::Display) {
        let cause = cause.to_string();
        self.damage.push(StoreDamage::Image {
            id: id.clone(),
            cause,
        });
    }
}

impl ContainerStore {
    /// Reads and hashes everything that lists name. What is wrong is in what is returned.
    ///
    /// # Errors
    /// Stop was asked for.
    pub fn check(&self, interrupt: &Interrupt) -> Result<StoreReport, Interrupted> {
        let mut report = StoreReport::default();
        let layers: Vec<LayerRecord> = self.list(LAYERS, &mut report);
        let images: Vec<ImageRecord> = self.list(IMAGES, &mut report);
        let by_id: BTreeMap<&str, &LayerRecord> = layers
            .iter()
            .map(|layer| (layer.id.as_str(), layer))
            .collect();
        let of_images = reached(&images, &by_id);
        for layer in &layers {
            interrupt.check()?;
            // What others left incomplete, they remove; layers of containers change.
            let Some(id) = layer
                .id
                .parse()
                .ok()
                .filter(|_| of_images.contains(&*layer.id))
            else {
                continue;
            };
            report.looked_at += 1;
            self.check_layer(&id, layer, interrupt, &mut report)?;
        }
        for image in &images {
            let Ok(id) = image.id.parse::<ImageId>() else {
                continue;
            };
            report.looked_at += 1;
            self.check_image(&id, image, &by_id, &mut report);
        }
        Ok(report)
    }

    fn list<T: serde::de::DeserializeOwned>(
        &self,
        path: &'static str,
        report: &mut StoreReport,
    ) -> Vec<T> {
        read_list(self.dir(), path).unwrap_or_else(|error: StoreError| {
            let cause = error.to_string();
            report.damage.push(StoreDamage::List { path, cause });
            Vec::new()
        })
    }

    fn check_layer(
        &self,
        id: &LayerId,
        layer: &LayerRecord,
        interrupt: &Interrupt,
        report: &mut StoreReport,
    ) -> Result<(), Interrupted> {
        if let Err(cause) = self.check_link(id, layer) {
            report.layer(id, cause);
            return Ok(());
        }
        let hashed = self.hash(id, interrupt);
        interrupt.check()?;
        match hashed {
            Ok(digest) if digest == layer.diff_digest => {}
            Ok(digest) => {
                let cause = format!(
                    "its archive has the digest {digest}, not {}",
                    layer.diff_digest
                );
                report.layer(id, cause);
            }
            Err(error) => report.layer(id, error),
        }
        Ok(())
    }

    fn hash(&self, id: &LayerId, interrupt: &Interrupt) -> io::Result<String> {
        let layer = self.layer(id)?;
        let gone = || {
            io::Error::new(
                io::ErrorKind::NotFound,
                "what its archive is made of is gone",
            )
        };
        let mut hasher = Sha256::new();
        let archive = layer.ok_or_else(gone)?.archive()?;
        let mut archive = interrupt.reader(archive);
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match archive.read(&mut buffer)? {
                0 => break,
                count => hasher.update(buffer.get(..count).unwrap_or_default()),
            }
        }
        Ok(format!("sha256:{}", hex::encode(hasher.finalize())))
    }

    /// Mounts are put together by short names.
    fn check_link(&self, id: &LayerId, layer: &LayerRecord) -> Result<(), String> {
        let told = |error: StoreError| error.to_string();
        let link = self.short_name(id).map_err(told)?;
        let link = link.ok_or("it has no short name")?;
        let path = Path::new("overlay/l").join(&link);
        let target = rustix::fs::readlinkat(self.dir(), &path, Vec::new());
        let target = target.map_err(|error| format!("{}: {error}", path.display()))?;
        if target.to_bytes() != format!("../{id}/diff").as_bytes() {
            return Err(format!("{} leads elsewhere", path.display()));
        }
        if let Ok(parent) = layer.parent.parse::<LayerId>() {
            let lower = Path::new("overlay").join(id.as_str()).join("lower");
            let lower = durable::read_optional(self.dir(), &lower, LONGEST);
            let lower = lower.map_err(|error| error.to_string())?;
            let expected = self.lower_upon(&parent).map_err(told)?;
            if lower.as_deref() != Some(expected.as_bytes()) {
                return Err("it is put together with other layers than those below".to_owned());
            }
        }
        Ok(())
    }

    fn check_image(
        &self,
        id: &ImageId,
        image: &ImageRecord,
        layers: &BTreeMap<&str, &LayerRecord>,
        report: &mut StoreReport,
    ) {
        let place = Path::new("overlay-images").join(id.as_str());
        let mut next = image.layer.as_str();
        while !next.is_empty() {
            let Some(layer) = layers.get(next) else {
                return report.image(id, format!("its layer {next} is not there"));
            };
            next = &layer.parent;
        }
        for (key, digest) in &image.big_data_digests {
            let bytes = durable::read_optional(self.dir(), &place.join(file_of(key)), LONGEST);
            let bytes = bytes.ok().flatten();
            let found = bytes.map(|bytes| format!("sha256:{}", hex::encode(Sha256::digest(bytes))));
            if digest.starts_with("sha256:") && found.as_ref() != Some(digest) {
                return report.image(id, format!("its document {key} is damaged or missing"));
            }
        }
    }

    /// Sets a list aside that cannot be read, so that there can be another one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_aside(&self, path: &'static str) -> Result<(), StoreError> {
        let aside = format!("{path}.damaged");
        let moved = rustix::fs::renameat(self.dir(), path, self.dir(), &aside);
        Ok(durable::IoContext::during(moved, "rename", path)?)
    }
}

/// The layers of images, and those below.
fn reached(images: &[ImageRecord], layers: &BTreeMap<&str, &LayerRecord>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    for image in images {
        let mut next = image.layer.clone();
        while !next.is_empty() && reached.insert(next.clone()) {
            let layer = layers.get(next.as_str());
            next = layer.map(|layer| layer.parent.clone()).unwrap_or_default();
        }
    }
    reached
}
