//! Layers that this machine has unpacked already: asked before an image is fetched from elsewhere.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use error_class::{Classified, ErrorClass};
use oci_spec::image::Descriptor;
use progress::{Progress, Task, TaskKind};

use super::{Error, ImageSource, blob_digest, fetch_part};
use crate::context::Context;
use crate::digest::{Algorithm, Digest, DigestReader};
use crate::manifest::Document;
use crate::platform::Platform;
use crate::reference::ImageReference;

/// A store of this machine that has layers, whatever its form.
pub trait LocalLayers: fmt::Debug + Send + Sync {
    /// The layer whose unpacked archive has this digest; none when it is not there, or not whole.
    ///
    /// # Errors
    /// The store cannot be read.
    fn layer(&self, diff_id: &Digest) -> io::Result<Option<LocalLayer>>;
}

/// A layer of a store of this machine.
pub struct LocalLayer {
    /// Its archive, **unverified**.
    pub archive: Box<dyn Read + Send>,
    /// Bytes of that.
    pub size: u64,
    /// The files that the archive is made of.
    pub files: Arc<dyn ArchiveFiles>,
    /// What the store is called.
    pub store: &'static str,
}

/// The files that an archive is made of while it is read. Those that were passed by are known.
pub trait ArchiveFiles: fmt::Debug + Send + Sync {
    /// The file whose whole content stands in the archive from `offset` on.
    fn file_at(&self, offset: u64) -> Option<File>;

    /// Whether owner, mode, times and attributes of the files belong to nobody: only their content counts in their store.
    fn are_contents(&self) -> bool;
}

/// The bytes of a layer, from wherever.
pub struct LayerBytes<'a> {
    /// The blob, whose end is an error when it is damaged; of a layer that was here the archive, which is to be verified
    /// by its diff_id.
    pub bytes: Box<dyn Read + Send + 'a>,
    /// Bytes of that.
    pub size: u64,
    /// The files that it is made of, when it was here.
    pub files: Option<Arc<dyn ArchiveFiles>>,
}

/// A layer on its way, for whoever wants to know.
#[derive(Debug)]
pub struct LayerTask<'p> {
    task: Task<'p>,
    is_local: bool,
}

impl<'p> LayerTask<'p> {
    /// Tells of a layer with this blob, at this place among so many; bytes that are fetched count.
    pub fn begin(
        progress: &'p dyn Progress,
        bytes: &LayerBytes<'_>,
        (digest, size): (&Digest, u64),
        (index, of): (usize, usize),
    ) -> Self {
        let (digest, is_local) = (digest.to_string(), bytes.files.is_some());
        let kind = match is_local {
            true => TaskKind::LayerPresent { digest, index, of },
            false => TaskKind::FetchLayer { digest, index, of },
        };
        let task = Task::begin(progress, kind, Some(size));
        Self { task, is_local }
    }

    /// The bytes, counted.
    pub fn reader<'t>(&'t self, bytes: Box<dyn Read + Send + 't>) -> Box<dyn Read + Send + 't> {
        match self.is_local {
            true => bytes,
            false => Box::new(self.task.reader(bytes)),
        }
    }

    /// The layer is stored.
    pub fn done(self) {
        match self.is_local {
            true => self.task.skipped(),
            false => self.task.done(),
        }
    }
}

/// Where a layer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "here or elsewhere")]
pub enum LayerOrigin {
    /// It was fetched.
    Fetched,
    /// Another store of this machine had it.
    Local,
}

impl LayerBytes<'_> {
    /// Those of a layer that is here.
    #[must_use]
    pub fn of_local(layer: LocalLayer) -> Self {
        Self {
            bytes: layer.archive,
            size: layer.size,
            files: Some(layer.files),
        }
    }
}

impl fmt::Debug for LocalLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLayer")
            .field("size", &self.size)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LayerBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerBytes")
            .field("size", &self.size)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Let a layer be used: from a store of this machine that has it, else fetched. One that is here and cannot be used is
/// told by `tell`, and fetched.
///
/// # Errors
/// Those of `take_in`, and what keeps the blob from being opened.
pub fn fetch_layer<T, E: Classified + fmt::Display + From<Box<Error>>>(
    source: &dyn ImageSource,
    descriptor: &Descriptor,
    diff_id: &Digest,
    tell: &dyn Fn(&str),
    mut take_in: impl FnMut(LayerBytes<'_>) -> Result<T, E>,
) -> Result<(T, LayerOrigin), E> {
    for local in source.local_layers(diff_id) {
        let store = local.store;
        match take_in(LayerBytes::of_local(local)) {
            Ok(taken) => return Ok((taken, LayerOrigin::Local)),
            Err(error) if error.class() == ErrorClass::Interrupted => return Err(error),
            Err(error) => tell(&format!(
                "layer {diff_id} in {store} cannot be used and is fetched: {error}"
            )),
        }
    }
    let fetched = fetch_part(source, descriptor, || {
        let digest = blob_digest(source.reference(), descriptor).map_err(Box::new)?;
        let raw = source.open_blob(descriptor, 0).map_err(Box::new)?;
        let size = descriptor.size();
        take_in(LayerBytes {
            bytes: Box::new(DigestReader::new(raw, digest, size)),
            size,
            files: None,
        })
    });
    fetched.map(|taken| (taken, LayerOrigin::Fetched))
}

/// An image whose layers are looked for on this machine first.
#[derive(Debug)]
pub(super) struct LocalFirst {
    image: Box<dyn ImageSource>,
    stores: Vec<Arc<dyn LocalLayers>>,
}

impl LocalFirst {
    pub(super) fn new(image: Box<dyn ImageSource>, stores: Vec<Arc<dyn LocalLayers>>) -> Self {
        Self { image, stores }
    }
}

impl ImageSource for LocalFirst {
    fn reference(&self) -> &ImageReference {
        self.image.reference()
    }

    fn platform(&self) -> &Platform {
        self.image.platform()
    }

    fn top(&self) -> Result<Document, Error> {
        self.image.top()
    }

    fn document(&self, descriptor: &Descriptor) -> Result<Document, Error> {
        self.image.document(descriptor)
    }

    fn open_blob(
        &self,
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, Error> {
        self.image.open_blob(descriptor, offset)
    }

    fn forget_part(&self, descriptor: &Descriptor) -> bool {
        self.image.forget_part(descriptor)
    }

    fn local_layers(&self, diff_id: &Digest) -> Vec<LocalLayer> {
        layers_in(&self.stores, diff_id)
    }
}

/// An image of which nothing is fetched: there is what stores of this machine have of its layers.
#[must_use]
pub fn open_here(reference: &ImageReference, context: &Context) -> Box<dyn ImageSource> {
    let nowhere = Nowhere {
        reference: reference.clone(),
        platform: context.platform.clone(),
    };
    let stores = context.stores.clone();
    Box::new(LocalFirst::new(Box::new(nowhere), stores))
}

#[derive(Debug)]
struct Nowhere {
    reference: ImageReference,
    platform: Platform,
}

impl Nowhere {
    fn lacking(&self) -> Error {
        Error::OnlyHere(self.reference.clone())
    }
}

impl ImageSource for Nowhere {
    fn reference(&self) -> &ImageReference {
        &self.reference
    }

    fn platform(&self) -> &Platform {
        &self.platform
    }

    fn top(&self) -> Result<Document, Error> {
        Err(self.lacking())
    }

    fn document(&self, _: &Descriptor) -> Result<Document, Error> {
        Err(self.lacking())
    }

    fn open_blob(&self, _: &Descriptor, _: u64) -> Result<Box<dyn Read + Send>, Error> {
        Err(self.lacking())
    }
}

/// What stores have of a layer. Only digests of SHA-256 are verified while an archive is read. A store that cannot be read
/// has nothing.
pub fn layers_in(stores: &[Arc<dyn LocalLayers>], diff_id: &Digest) -> Vec<LocalLayer> {
    if diff_id.algorithm() != Algorithm::Sha256 {
        return Vec::new();
    }
    let found = stores.iter().filter_map(|store| {
        let layer = store.layer(diff_id);
        layer
            .inspect_err(|error| tracing::debug!(%error, ?store, "a store cannot be read"))
            .ok()?
    });
    found.collect()
}
