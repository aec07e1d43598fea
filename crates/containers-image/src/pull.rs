//! Bringing images into a storage.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use containers::{
    BlobCompression, ContainerStore, ImageId, LayerId, LayerOrigin, NewImage, NewLayer,
    StoreSession,
};
use layer::{LayerBlob, LayerError};
use oci::digest::{Algorithm, Digest};
use oci::manifest::{Layer, RawConfig, RawManifest};
use oci::media_type::Compression;
use oci::source::{
    self, Error as SourceError, ImageSource, LayerBytes, LayerTask, StorageLayers, fetch_layer,
};
use progress::{Interrupt, Progress, Share, Silent, Task, TaskKind};

use crate::ImageError;
use crate::splitter::{FilesOfImage, Splitter};

/// An image that is to be stored.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "all that makes an image")]
pub struct WantedImage<'a> {
    /// Where its layers are.
    pub source: &'a dyn ImageSource,
    /// Its manifest.
    pub manifest: &'a RawManifest,
    /// Its configuration.
    pub config: &'a RawConfig,
    /// The names it gets, with registry and tag or digest; no other image has them afterwards.
    pub names: Vec<String>,
    /// A store that has its files as they are, which need not stand on disk twice then.
    pub files: Option<&'a dyn FilesOfImage>,
}

/// What a pull did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pulled {
    /// Layers that were not there.
    pub layers: usize,
    /// Those of them that were fetched: the others were on this machine.
    pub fetched: usize,
    /// Compressed bytes that were fetched.
    pub bytes: u64,
    /// Bytes of new files that other stores have as well, and that stand on disk once.
    pub shared: u64,
}

/// A layer that is not there.
struct Missing<'a> {
    id: LayerId,
    parent: Option<LayerId>,
    image: &'a WantedImage<'a>,
    index: usize,
    diff_id: Digest,
}

/// The numbers of an image's layers, the lowest first.
///
/// # Errors
/// [`ImageError::Manifest`].
pub fn layer_ids(manifest: &RawManifest, config: &RawConfig) -> Result<Vec<LayerId>, ImageError> {
    let mut ids: Vec<LayerId> = Vec::new();
    for diff_id in config.diff_ids(manifest)? {
        ids.push(LayerId::chain(ids.last(), diff_id.hex()));
    }
    Ok(ids)
}

/// The number of an image.
///
/// # Errors
/// [`ImageError::Number`].
pub fn image_id(config: &RawConfig) -> Result<ImageId, ImageError> {
    Ok(config.digest().hex().parse()?)
}

/// The layers of an image that would have to be fetched, by their positions.
///
/// # Errors
/// [`ImageError`].
pub fn missing(
    store: &ContainerStore,
    manifest: &RawManifest,
    config: &RawConfig,
) -> Result<Vec<usize>, ImageError> {
    let mut missing = Vec::new();
    for (index, id) in layer_ids(manifest, config)?.iter().enumerate() {
        if !store.has_layer(id)? {
            missing.push(index);
        }
    }
    Ok(missing)
}

/// Bring images into the storage: first the layers that are not there, several at once and each once, then all images
/// together. Layers in `again` are fetched though they are there: they are damaged.
///
/// # Errors
/// [`ImageError`]; no image is named then, and layers that were complete with all those below stay until they are
/// collected.
pub fn pull(
    session: &StoreSession<'_>,
    images: &[WantedImage<'_>],
    again: &BTreeSet<LayerId>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Pulled, ImageError> {
    let mut missing = all_missing(session.store(), images, again)?;
    let shelf = Shelf::new(&missing);
    // No large one is left alone at the end.
    missing.sort_by_key(|layer| std::cmp::Reverse(layer.layer().map(|layer| layer.size)));
    let fetcher = Fetcher {
        session,
        shelf,
        fetched: AtomicUsize::new(0),
        bytes: AtomicU64::new(0),
        shared: AtomicU64::new(0),
        progress,
        interrupt,
    };
    fetcher.fetch_all(&missing)?;
    let new: Result<Vec<_>, _> = images.iter().map(new_image).collect();
    session.publish_images(&new?)?;
    Ok(Pulled {
        layers: missing.len(),
        fetched: fetcher.fetched.into_inner(),
        bytes: fetcher.bytes.into_inner(),
        shared: fetcher.shared.into_inner(),
    })
}

fn all_missing<'a>(
    store: &ContainerStore,
    images: &'a [WantedImage<'a>],
    again: &BTreeSet<LayerId>,
) -> Result<Vec<Missing<'a>>, ImageError> {
    let mut found: Vec<Missing<'a>> = Vec::new();
    for image in images {
        let ids = layer_ids(image.manifest, image.config)?;
        let diff_ids = image.config.diff_ids(image.manifest)?;
        for (index, (id, diff_id)) in ids.iter().zip(diff_ids).enumerate() {
            let is_known = found.iter().any(|other| other.id == *id);
            if is_known || (!again.contains(id) && store.has_layer(id)?) {
                continue;
            }
            found.push(Missing {
                id: id.clone(),
                parent: index
                    .checked_sub(1)
                    .and_then(|below| ids.get(below).cloned()),
                image,
                index,
                diff_id,
            });
        }
    }
    Ok(found)
}

fn new_image(image: &WantedImage<'_>) -> Result<NewImage, ImageError> {
    named_image(image.manifest, image.config, image.names.clone())
}

/// The image with these documents and names, whose layers are there.
pub(crate) fn named_image(
    manifest: &RawManifest,
    config: &RawConfig,
    names: Vec<String>,
) -> Result<NewImage, ImageError> {
    Ok(NewImage {
        id: image_id(config)?,
        names,
        manifest: manifest.bytes().to_vec(),
        manifest_digest: manifest.digest().to_string(),
        config: config.bytes().to_vec(),
        config_digest: config.digest().to_string(),
        layer: layer_ids(manifest, config)?.pop(),
        created: config.config().created().clone(),
    })
}

impl Missing<'_> {
    fn layer(&self) -> Option<&Layer> {
        self.image.manifest.layers().get(self.index)
    }
}

/// Layers that are complete, until those that they lie upon are listed.
struct Shelf(Mutex<Waiting>);

struct Waiting {
    /// Layers that are not listed yet.
    unlisted: BTreeSet<LayerId>,
    staged: BTreeMap<LayerId, NewLayer>,
}

impl Shelf {
    fn new(missing: &[Missing<'_>]) -> Self {
        let unlisted = missing.iter().map(|layer| layer.id.clone()).collect();
        Self(Mutex::new(Waiting {
            unlisted,
            staged: BTreeMap::new(),
        }))
    }

    fn add(&self, session: &StoreSession<'_>, layer: NewLayer) -> Result<(), ImageError> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.staged.insert(layer.id.clone(), layer);
        let ready = waiting.ready();
        Ok(session.publish_layers(ready)?)
    }
}

impl Waiting {
    /// What can be listed now, each behind the one it lies upon.
    fn ready(&mut self) -> Vec<NewLayer> {
        let mut ready = Vec::new();
        let lies_upon_listed = |unlisted: &BTreeSet<LayerId>, parent: &Option<LayerId>| {
            parent
                .as_ref()
                .is_none_or(|parent| !unlisted.contains(parent))
        };
        loop {
            let mut staged = self.staged.iter();
            let next = staged.find(|(_, layer)| lies_upon_listed(&self.unlisted, &layer.parent));
            let Some(id) = next.map(|(id, _)| id.clone()) else {
                return ready;
            };
            self.unlisted.remove(&id);
            ready.extend(self.staged.remove(&id));
        }
    }
}

/// What all layers of one pull share.
struct Fetcher<'a> {
    session: &'a StoreSession<'a>,
    shelf: Shelf,
    fetched: AtomicUsize,
    bytes: AtomicU64,
    shared: AtomicU64,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

impl Fetcher<'_> {
    fn fetch_all(&self, missing: &[Missing<'_>]) -> Result<(), ImageError> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let share = Share {
            threads: NonZeroUsize::new(processors.clamp(2, 4)),
            batch: 1,
        };
        // Each layer is told by itself.
        let whole = Task::begin(&Silent, TaskKind::Fsck, None);
        let fetch = |_: &mut (), layers: &[Missing<'_>]| {
            layers.iter().try_for_each(|layer| self.fetch(layer))
        };
        whole.share_out(missing, share, self.interrupt, || (), fetch)?;
        whole.done();
        Ok(())
    }

    fn fetch(&self, missing: &Missing<'_>) -> Result<(), ImageError> {
        let Some(layer) = missing.layer() else {
            return Ok(());
        };
        let staged = match self.another_copy(missing, layer) {
            Some(staged) => staged,
            None => self.take_or_fetch(missing, layer)?,
        };
        let shared = staged.written.shared();
        self.shared.fetch_add(shared, Ordering::Relaxed);
        self.shelf.add(self.session, staged)
    }

    /// The layer, if another one in the storage has the same archive, and it is whole.
    fn another_copy(&self, missing: &Missing<'_>, layer: &Layer) -> Option<NewLayer> {
        let store = self.session.store();
        let stored = store.layer_with(&missing.diff_id.to_string()).ok()??;
        let stored = StorageLayers::of_layer(&stored).ok()?;
        let bytes = LayerBytes::of_local(stored);
        self.take_in(bytes, missing, layer).ok()
    }

    fn take_or_fetch(&self, missing: &Missing<'_>, layer: &Layer) -> Result<NewLayer, ImageError> {
        let (source, descriptor) = (missing.image.source, &layer.descriptor);
        let tell = |text: &str| self.progress.note(text);
        let take_in = |bytes: LayerBytes<'_>| self.take_in(bytes, missing, layer);
        let fetched = fetch_layer(source, descriptor, &missing.diff_id, &tell, take_in);
        let (staged, origin) = fetched?;
        if origin == source::LayerOrigin::Fetched {
            self.fetched.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(layer.size, Ordering::Relaxed);
        }
        Ok(staged)
    }

    fn take_in(
        &self,
        bytes: LayerBytes<'_>,
        missing: &Missing<'_>,
        layer: &Layer,
    ) -> Result<NewLayer, ImageError> {
        let all = missing.image.manifest.layers().len();
        let (blob, place) = ((&layer.digest, layer.size), (missing.index, all));
        let task = LayerTask::begin(self.progress, &bytes, blob, place);
        let blob = LayerBlob {
            bytes: Box::new(self.interrupt.reader(task.reader(bytes.bytes))),
            size: bytes.size,
            diff_id: match missing.diff_id.algorithm() {
                Algorithm::Sha256 => missing.diff_id.hex().parse().ok(),
                Algorithm::Sha512 => None,
            },
        };
        let (staged, writer) = self.session.stage()?;
        let mut splitter = Splitter {
            writer,
            files: bytes.files,
            image: missing.image.files,
        };
        let passed = layer::pass(blob, &mut splitter, self.interrupt);
        passed.map_err(|error| self.failed(error, missing, layer))?;
        let finished = splitter.writer.finish();
        let written = finished.map_err(|source| ImageError::Entry {
            digest: layer.digest.clone(),
            source,
        })?;
        task.done();
        Ok(NewLayer {
            id: missing.id.clone(),
            parent: missing.parent.clone(),
            origin: origin(layer, &missing.diff_id),
            staged,
            written,
        })
    }

    fn failed(&self, error: LayerError, missing: &Missing<'_>, layer: &Layer) -> ImageError {
        if let Err(stop) = self.interrupt.check() {
            return stop.into();
        }
        match error {
            LayerError::Read(error) => {
                let reference = missing.image.source.reference();
                Box::new(SourceError::from_stream(reference, error)).into()
            }
            other => ImageError::Layer {
                digest: layer.digest.clone(),
                source: Box::new(other),
            },
        }
    }
}

/// What lists say of where a layer comes from.
pub(crate) fn origin(layer: &Layer, diff_id: &Digest) -> LayerOrigin {
    LayerOrigin {
        blob_digest: layer.digest.to_string(),
        blob_size: layer.size,
        compression: match layer.compression {
            Compression::None => BlobCompression::None,
            Compression::Gzip => BlobCompression::Gzip,
            Compression::Zstd => BlobCompression::Zstd,
        },
        diff_id: diff_id.to_string(),
    }
}
