//! Bringing an image into the repository, straight from where it comes from.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use composefs::{Category, Store};
use layer::{LayerBlob, LayerError};
use oci::digest::{Algorithm, Digest as OciDigest};
use oci::manifest::{Layer, RawConfig, RawManifest};
use oci::source::{
    Error as SourceError, ImageSource, LayerBytes, LayerOrigin, LayerTask, fetch_layer,
};
use progress::{Interrupt, Progress, Share, Silent, Task, TaskKind};

use crate::documents::{Stored, store_image};
use crate::splitter::{LayerSplitter, layer_name};
use crate::{ImageError, restore};

/// Choices of a pull.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// The name the image gets, which keeps it; without one, the next collection removes it.
    pub name: Option<String>,
    /// Make the root as it is booted, too.
    pub bootable: bool,
}

/// What a pull did.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// What is stored.
    pub stored: Stored,
    /// Layers of the image.
    pub layers: usize,
    /// Layers that were fetched.
    pub layers_fetched: usize,
    /// Layers that came from another store of this machine.
    pub layers_local: usize,
    /// Compressed bytes that were fetched.
    pub bytes_fetched: u64,
}

/// Bring the image of `source`, whose documents are given, into the repository. Layers that are there are not
/// fetched.
///
/// # Errors
/// [`ImageError`]; layers that were complete by then stay until they are collected.
pub fn pull(
    store: &Store,
    source: &dyn ImageSource,
    (manifest, config): (&RawManifest, &RawConfig),
    options: &PullOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Pulled, ImageError> {
    let missing = missing(store, manifest, config)?;
    let fetcher = Fetcher {
        store,
        source,
        manifest,
        progress,
        interrupt,
        bytes: AtomicU64::new(0),
        fetched: AtomicUsize::new(0),
    };
    fetcher.fetch_all(&missing)?;
    let name = options.name.as_deref();
    let stored = store_image(store, manifest, config, name, options.bootable)?;
    let layers_fetched = fetcher.fetched.into_inner();
    Ok(Pulled {
        stored,
        layers: manifest.layers().len(),
        layers_fetched,
        layers_local: missing.len().saturating_sub(layers_fetched),
        bytes_fetched: fetcher.bytes.into_inner(),
    })
}

/// The places in the manifest of the layers that a pull would fetch.
///
/// # Errors
/// [`ImageError`].
pub fn missing_layers(
    store: &Store,
    manifest: &RawManifest,
    config: &RawConfig,
) -> Result<Vec<usize>, ImageError> {
    let missing = missing(store, manifest, config)?;
    Ok(missing.into_iter().map(|layer| layer.index).collect())
}

/// A layer that is not there.
struct Missing {
    index: usize,
    diff_id: OciDigest,
}

/// Each once, the largest first, so that no large one is left alone at the end.
fn missing(
    store: &Store,
    manifest: &RawManifest,
    config: &RawConfig,
) -> Result<Vec<Missing>, ImageError> {
    let mut missing: Vec<Missing> = Vec::new();
    for (index, diff_id) in config.diff_ids(manifest)?.into_iter().enumerate() {
        let is_new = missing.iter().all(|other| other.diff_id != diff_id);
        if is_new && !restore::has_layer(store, &diff_id)? {
            missing.push(Missing { index, diff_id });
        }
    }
    let size = |missing: &Missing| manifest.layers().get(missing.index).map(|layer| layer.size);
    missing.sort_by_key(|missing| std::cmp::Reverse(size(missing)));
    Ok(missing)
}

/// What all layers of one pull share.
pub(crate) struct Fetcher<'a> {
    pub(crate) store: &'a Store,
    pub(crate) source: &'a dyn ImageSource,
    pub(crate) manifest: &'a RawManifest,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) bytes: AtomicU64,
    pub(crate) fetched: AtomicUsize,
}

impl Fetcher<'_> {
    fn fetch_all(&self, missing: &[Missing]) -> Result<(), ImageError> {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let share = Share {
            threads: NonZeroUsize::new(processors.clamp(2, 4)),
            batch: 1,
        };
        // Each layer is told by itself.
        let whole = Task::begin(&Silent, TaskKind::Fsck, None);
        let fetch = |_: &mut (), layers: &[Missing]| {
            let mut layers = layers.iter();
            layers.try_for_each(|layer| self.fetch(layer.index, &layer.diff_id))
        };
        whole.share_out(missing, share, self.interrupt, || (), fetch)?;
        whole.done();
        Ok(())
    }

    /// Take a layer from another store of this machine, or fetch it.
    pub(crate) fn fetch(&self, index: usize, diff_id: &OciDigest) -> Result<(), ImageError> {
        let Some(layer) = self.manifest.layers().get(index) else {
            return Ok(());
        };
        let tell = |text: &str| self.progress.note(text);
        let take_in = |bytes: LayerBytes<'_>| self.take_in(bytes, index, layer, diff_id);
        let fetched = fetch_layer(self.source, &layer.descriptor, diff_id, &tell, take_in);
        if let ((), LayerOrigin::Fetched) = fetched? {
            self.fetched.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(layer.size, Ordering::Relaxed);
        }
        Ok(())
    }

    fn take_in(
        &self,
        bytes: LayerBytes<'_>,
        index: usize,
        layer: &Layer,
        diff_id: &OciDigest,
    ) -> Result<(), ImageError> {
        let all = self.manifest.layers().len();
        let blob = (&layer.digest, layer.size);
        let task = LayerTask::begin(self.progress, &bytes, blob, (index, all));
        let blob = LayerBlob {
            bytes: Box::new(self.interrupt.reader(task.reader(bytes.bytes))),
            size: bytes.size,
            diff_id: match diff_id.algorithm() {
                Algorithm::Sha256 => diff_id.hex().parse().ok(),
                Algorithm::Sha512 => None,
            },
        };
        let splitter = LayerSplitter::begin(self.store, None)?;
        let mut splitter = splitter.made_of(bytes.files);
        let passed = layer::pass(blob, &mut splitter, self.interrupt);
        passed.map_err(|error| match error {
            LayerError::Read(error) => {
                let error = SourceError::from_stream(self.source.reference(), error);
                ImageError::Source(Box::new(error))
            }
            other => ImageError::Layer {
                digest: layer.digest.clone(),
                source: Box::new(other),
            },
        })?;
        splitter.finish(diff_id)?;
        task.done();
        Ok(())
    }
}

/// Whether there is a stream of the layer.
pub(crate) fn has_stream(store: &Store, diff_id: &OciDigest) -> Result<bool, ImageError> {
    let entry = store.entry(Category::Streams, &layer_name(diff_id));
    Ok(matches!(entry, Ok(Some(digest)) if store.has_object(&digest)?))
}
