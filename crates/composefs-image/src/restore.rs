//! Layers of which something was lost.

use std::sync::atomic::{AtomicU64, AtomicUsize};

use composefs::{Category, Store};
use composefs_format::Digest;
use oci::digest::Digest as OciDigest;
use oci::source::ImageSource;
use progress::{Interrupt, Progress};

use crate::ImageError;
use crate::documents::StoredImage;
use crate::pull::{Fetcher, has_stream};
use crate::splitter::layer_name;

/// What was fetched again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Layers.
    pub layers: usize,
}

/// Whether a layer is there with all its objects. They are looked for, not read.
pub(crate) fn has_layer(store: &Store, diff_id: &OciDigest) -> Result<bool, ImageError> {
    if !has_stream(store, diff_id)? {
        return Ok(false);
    }
    let Some(digest) = store.entry(Category::Streams, &layer_name(diff_id))? else {
        return Ok(false);
    };
    // A damaged stream counts for nothing: the layer is fetched and replaces it.
    let Ok(stream) = store.stream(&digest) else {
        return Ok(false);
    };
    for object in &stream.objects {
        if !store.has_object(object)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fetch the layers of `image` again that lack one of `objects`, which must have been removed.
///
/// # Errors
/// [`ImageError`]; what was restored until then stays.
pub fn restore_layer(
    store: &Store,
    source: &dyn ImageSource,
    image: &StoredImage,
    objects: &[Digest],
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Restored, ImageError> {
    let fetcher = Fetcher {
        store,
        source,
        manifest: &image.manifest,
        progress,
        interrupt,
        bytes: AtomicU64::new(0),
        fetched: AtomicUsize::new(0),
    };
    let mut restored = Restored::default();
    for (index, (diff_id, digest)) in image.layers.iter().enumerate() {
        let is_whole = match store.stream(digest) {
            Ok(stream) => !stream.objects.iter().any(|object| objects.contains(object)),
            Err(_) => false,
        };
        if !is_whole {
            fetcher.fetch(index, diff_id)?;
            restored.layers += 1;
        }
    }
    Ok(restored)
}
