//! An image that is written straight into a storage while it is made: each layer is unpacked as it comes, and gets its number
//! when the configuration says which layers lie below.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::sync::Arc;
use std::thread::JoinHandle;

use containers::{NewLayer, Staged, StagedLayer, StoreSession};
use error_class::{Classified, ErrorClass};
use layer::LayerBlob;
use oci::digest::{Algorithm, Digest, Hasher};
use oci::manifest::{Document, Manifest, RawConfig, RawManifest};
use oci::sink::{BlobSink, ImageSink, WriteError, Written};
use oci::spec::Descriptor;
use progress::Interrupt;

use crate::pull::{named_image, origin};
use crate::splitter::{FilesOfImage, Splitter};
use crate::{ImageError, layer_ids};

/// Who has the files of the image already, if anybody.
pub type SharedFiles = Option<Arc<dyn FilesOfImage + Send>>;

/// Writes an image into a storage.
pub struct StorageSink<'s> {
    session: &'s StoreSession<'s>,
    name: String,
    files: SharedFiles,
    interrupt: Interrupt,
    documents: BTreeMap<Digest, Vec<u8>>,
    /// Those with the same archive are as many as were written.
    layers: BTreeMap<Digest, Vec<(Staged, StagedLayer)>>,
    /// What was done, once it was.
    done: &'s mut Stored,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored {
    /// Layers that were not there.
    pub layers: usize,
    /// Bytes of their files that other stores have as well, and that stand on disk once.
    pub shared: u64,
}

impl std::fmt::Debug for StorageSink<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorageSink")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<'s> StorageSink<'s> {
    /// Into this storage, under a full name.
    pub fn new(
        session: &'s StoreSession<'s>,
        name: String,
        files: SharedFiles,
        interrupt: &Interrupt,
        done: &'s mut Stored,
    ) -> Self {
        Self {
            session,
            name,
            files,
            interrupt: interrupt.clone(),
            documents: BTreeMap::new(),
            layers: BTreeMap::new(),
            done,
        }
    }

    fn publish(mut self, manifest: &Descriptor) -> Result<(), ImageError> {
        let (manifest, config) = self.documents_of(manifest)?;
        let ids = layer_ids(&manifest, &config)?;
        let diff_ids = config.diff_ids(&manifest)?;
        let mut new = Vec::new();
        let mut below = None;
        for ((id, layer), diff_id) in ids.into_iter().zip(manifest.layers()).zip(&diff_ids) {
            let written = self.layers.get_mut(&layer.digest).and_then(Vec::pop);
            if !self.session.store().has_layer(&id)? {
                let lost = || ImageError::Lost(layer.digest.clone());
                let (staged, written) = written.ok_or_else(lost)?;
                self.done.shared += written.shared();
                new.push(NewLayer {
                    id: id.clone(),
                    parent: below,
                    origin: origin(layer, diff_id),
                    staged,
                    written,
                });
            }
            below = Some(id);
        }
        self.done.layers = new.len();
        self.session.publish_layers(new)?;
        let image = named_image(&manifest, &config, vec![self.name])?;
        Ok(self.session.publish_images(&[image])?)
    }

    fn documents_of(&self, manifest: &Descriptor) -> Result<(RawManifest, RawConfig), ImageError> {
        let written = |digest: &Digest| {
            let document = self.documents.get(digest).cloned();
            document.ok_or_else(|| ImageError::Lost(digest.clone()))
        };
        let no_digest = || ImageError::Lost(Digest::sha256(b""));
        let digest = Digest::try_from(manifest.digest()).map_err(|_| no_digest())?;
        let document = Document::new(written(&digest)?, Some(manifest.media_type().as_ref()));
        let Manifest::Image(manifest) = document.parse()? else {
            return Err(ImageError::Lost(digest));
        };
        let config = manifest.manifest().config().digest();
        let config = Digest::try_from(config).map_err(|_| no_digest())?;
        let bytes = written(&config)?;
        let config = RawConfig::from_bytes(config, bytes)?;
        Ok((*manifest, config))
    }
}

impl ImageSink for StorageSink<'_> {
    fn has_blob(&self, digest: &Digest) -> Result<bool, WriteError> {
        Ok(self.documents.contains_key(digest))
    }

    fn blob(&mut self) -> Result<Box<dyn BlobSink + '_>, WriteError> {
        Ok(Box::new(DocumentSink {
            documents: &mut self.documents,
            bytes: Vec::new(),
        }))
    }

    fn layer(&mut self) -> Result<Box<dyn BlobSink + '_>, WriteError> {
        let (staged, writer) = self.session.stage().map_err(refused)?;
        let (reader, pipe) = io::pipe().map_err(refused)?;
        let (files, interrupt) = (self.files.clone(), self.interrupt.clone());
        let unpacking = std::thread::spawn(move || {
            let files = files.as_deref().map(|files| -> &dyn FilesOfImage { files });
            unpack(writer, reader, files, &interrupt)
        });
        Ok(Box::new(LayerSink {
            layers: &mut self.layers,
            staged,
            pipe,
            unpacking: Some(unpacking),
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
        }))
    }

    fn finish(self: Box<Self>, manifest: &Descriptor, _: Option<&str>) -> Result<(), WriteError> {
        self.publish(manifest).map_err(refused)
    }
}

/// Takes in the archive that comes.
fn unpack(
    writer: containers::LayerWriter,
    archive: PipeReader,
    files: Option<&dyn FilesOfImage>,
    interrupt: &Interrupt,
) -> Result<StagedLayer, UnpackError> {
    let mut splitter = Splitter {
        writer,
        files: None,
        image: files,
    };
    let blob = LayerBlob {
        bytes: Box::new(archive),
        // Whoever writes it does not make it larger than what is stored.
        size: u64::MAX,
        diff_id: None,
    };
    layer::pass(blob, &mut splitter, interrupt)?;
    Ok(splitter.writer.finish()?)
}

/// Why a layer that was written is not taken in.
#[derive(Debug, thiserror::Error)]
enum UnpackError {
    #[error(transparent)]
    Layer(#[from] layer::LayerError),
    #[error(transparent)]
    Entry(#[from] containers::EntryProblem),
}

impl Classified for UnpackError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Layer(error) => error.class(),
            Self::Entry(error) => error.class(),
        }
    }
}

/// A manifest or a configuration.
struct DocumentSink<'a> {
    documents: &'a mut BTreeMap<Digest, Vec<u8>>,
    bytes: Vec<u8>,
}

impl Write for DocumentSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobSink for DocumentSink<'_> {
    fn finish(self: Box<Self>) -> Result<Written, WriteError> {
        let (digest, size) = (Digest::sha256(&self.bytes), self.bytes.len() as u64);
        self.documents.insert(digest.clone(), self.bytes);
        Ok(Written { digest, size })
    }
}

type Unpacking = JoinHandle<Result<StagedLayer, UnpackError>>;

/// A layer, which another thread unpacks.
struct LayerSink<'a> {
    layers: &'a mut BTreeMap<Digest, Vec<(Staged, StagedLayer)>>,
    staged: Staged,
    pipe: PipeWriter,
    /// None once it was found to have ended.
    unpacking: Option<Unpacking>,
    hasher: Hasher,
    size: u64,
}

impl Write for LayerSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.pipe.write(bytes);
        // What the other thread says is the cause of what is noticed here.
        let count = written.map_err(|error| match self.unpacking.take().map(join) {
            Some(Err(cause)) => io::Error::other(cause),
            _ => error,
        })?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobSink for LayerSink<'_> {
    fn finish(self: Box<Self>) -> Result<Written, WriteError> {
        let this = *self;
        drop(this.pipe);
        let ended = || refused(io::Error::from(io::ErrorKind::BrokenPipe));
        let written = join(this.unpacking.ok_or_else(ended)?);
        let layer = (this.staged, written.map_err(refused)?);
        let (digest, size) = (this.hasher.finish(), this.size);
        this.layers.entry(digest.clone()).or_default().push(layer);
        Ok(Written { digest, size })
    }
}

fn join(unpacking: Unpacking) -> Result<StagedLayer, UnpackError> {
    let ended = unpacking.join();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// An error of the storage, for whoever writes.
fn refused(error: impl std::error::Error + Classified + Send + Sync + 'static) -> WriteError {
    WriteError::Place {
        class: error.class(),
        source: Box::new(error),
    }
}
