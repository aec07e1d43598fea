//! Writing an image: layers one after the other, then config and manifest.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use error_class::{Classified, ErrorClass};
use layer::{ExportError, Packer, Packing};
use oci::canonical;
use oci::reference::ImageReference;
use oci::sink::{ImageSink, WriteError, Written};
use oci::spec::{Descriptor, History, ImageConfiguration, ImageManifestBuilder, MediaType};
use progress::{Interrupt, Progress, Task, TaskKind};
use serde::Serialize;

use crate::keys::FINAL_DIFFID_LABEL;

/// Why an image was not written. The destination shows none, though blobs may stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteImageError {
    /// A layer could not be made.
    #[error("layer {index}: {source}")]
    Layer {
        /// Its position, from 0.
        index: usize,
        /// Why.
        source: ExportError,
    },
    /// The destination did not take something.
    #[error(transparent)]
    Sink(#[from] WriteError),
    /// A document has no JSON form.
    #[error("cannot encode the image's documents: {0}")]
    Encode(#[source] io::Error),
}

impl Classified for WriteImageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Layer { source, .. } => source.class(),
            Self::Sink(error) => error.class(),
            Self::Encode(_) => ErrorClass::InvalidInput,
        }
    }
}

/// An image that was written (`docs/container-encapsulate.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct WrittenImage {
    schema: &'static str,
    /// The digest of the manifest, which identifies the image.
    pub digest: String,
    /// The layers, lowest first.
    pub layers: Vec<WrittenLayer>,
}

/// A layer that was written.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenLayer {
    /// The digest of the blob.
    pub digest: String,
    /// Bytes of the blob.
    pub size: u64,
    /// The digest of the archive in it.
    pub diff_id: String,
    /// What the history says about it.
    pub title: String,
}

/// How layers are compressed, and with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// The format and level.
    pub packing: Packing,
    /// How many threads; 0 is one per processor. The result does not depend on it.
    pub threads: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            packing: Packing::GZIP,
            threads: 0,
        }
    }
}

impl Compression {
    fn packer(self) -> Packer {
        Packer::new(match self.threads {
            0 => std::thread::available_parallelism().map_or(1, Into::into),
            threads => threads,
        })
    }

    fn media_type(self) -> MediaType {
        match self.packing {
            Packing::Plain => MediaType::ImageLayer,
            Packing::Gzip(_) => MediaType::ImageLayerGzip,
            Packing::Zstd(_) => MediaType::ImageLayerZstd,
        }
    }
}

/// What is said about a layer besides its content.
#[derive(Debug, Clone, Default)]
pub(crate) struct LayerNote {
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) history: History,
}

impl LayerNote {
    pub(crate) fn new(created: Option<&str>, created_by: &str) -> Self {
        let mut history = History::default();
        history.set_created(created.map(ToOwned::to_owned));
        history.set_created_by(Some(created_by.to_owned()));
        Self {
            annotations: BTreeMap::new(),
            history,
        }
    }

    pub(crate) fn annotated(mut self, key: &str, value: String) -> Self {
        self.annotations.insert(key.to_owned(), value);
        self
    }
}

/// An image being written.
pub(crate) struct ImageWriter<'a> {
    sink: Box<dyn ImageSink + 'a>,
    compression: Compression,
    packer: Packer,
    task: Task<'a>,
    interrupt: &'a Interrupt,
    descriptors: Vec<Descriptor>,
    history: Vec<History>,
    layers: Vec<WrittenLayer>,
}

impl<'a> ImageWriter<'a> {
    /// `total` is about how many bytes the layers have before compression.
    pub(crate) fn new(
        sink: Box<dyn ImageSink + 'a>,
        compression: Compression,
        total: u64,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            sink,
            compression,
            packer: compression.packer(),
            task: Task::begin(progress, TaskKind::Encapsulate, Some(total)),
            interrupt,
            descriptors: Vec::new(),
            history: Vec::new(),
            layers: Vec::new(),
        }
    }

    /// Append the layer that `write` writes.
    pub(crate) fn layer(
        &mut self,
        note: LayerNote,
        write: impl FnOnce(&mut dyn Write, &Interrupt) -> Result<(), ExportError>,
    ) -> Result<(), WriteImageError> {
        let index = self.layers.len();
        let failed = |source: ExportError| WriteImageError::Layer { index, source };
        let (written, diff_id) = {
            let blob = self.sink.layer()?;
            let packed = self.packer.pack(self.compression.packing, blob);
            let mut counted = Counted {
                out: packed.map_err(|error| failed(error.into()))?,
                task: &self.task,
            };
            write(&mut counted, self.interrupt).map_err(failed)?;
            let finished = counted.out.finish();
            let (blob, unpacked) = finished.map_err(|error| failed(error.into()))?;
            (blob.finish()?, format!("sha256:{}", unpacked.diff_id))
        };
        self.push(&written, self.compression.media_type(), &diff_id, note);
        Ok(())
    }

    /// Append a layer that is in the destination.
    pub(crate) fn push(
        &mut self,
        written: &Written,
        media_type: MediaType,
        diff_id: &str,
        note: LayerNote,
    ) {
        let mut descriptor = written.descriptor(media_type);
        let annotations: HashMap<_, _> = note.annotations.into_iter().collect();
        descriptor.set_annotations((!annotations.is_empty()).then_some(annotations));
        self.descriptors.push(descriptor);
        self.layers.push(WrittenLayer {
            digest: written.digest.to_string(),
            size: written.size,
            diff_id: diff_id.to_owned(),
            title: note.history.created_by().clone().unwrap_or_default(),
        });
        self.history.push(note.history);
    }

    /// The diff_ids so far.
    pub(crate) fn diff_ids(&self) -> Vec<String> {
        self.layers
            .iter()
            .map(|layer| layer.diff_id.clone())
            .collect()
    }

    /// Let the destination get a blob of the image `from` by itself, if it can or has it; whether it has.
    pub(crate) fn take_over(
        &mut self,
        blob: &Written,
        from: &ImageReference,
    ) -> Result<bool, WriteImageError> {
        let taken = self.sink.take_over(&blob.digest, from)?;
        if taken {
            self.task.advance(blob.size);
        }
        Ok(taken)
    }

    /// Copy a blob as it is; `content` is verified by whoever hands it in, and what it fails with is
    /// given back as it is.
    pub(crate) fn copy_blob(
        &mut self,
        content: &mut impl io::Read,
    ) -> Result<Result<Written, io::Error>, WriteImageError> {
        let index = self.layers.len();
        let mut blob = self.sink.layer()?;
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error)),
            };
            let written = blob.write_all(&buffer[..count]);
            written.map_err(|error| WriteImageError::Layer {
                index,
                source: error.into(),
            })?;
            self.task.advance(count as u64);
        }
        Ok(Ok(blob.finish()?))
    }

    /// Write config and manifest, and make the image visible. The config gets the diff_ids of the layers,
    /// and their history unless it has one.
    pub(crate) fn finish(
        mut self,
        mut config: ImageConfiguration,
        annotations: HashMap<String, String>,
        tag: Option<&str>,
    ) -> Result<WrittenImage, WriteImageError> {
        let diff_ids = self.diff_ids();
        config.rootfs_mut().set_diff_ids(diff_ids);
        if config.history().is_none() {
            config.set_history(Some(std::mem::take(&mut self.history)));
        }
        let platform = platform_of(&config);
        let config = self.document(&config, MediaType::ImageConfig)?;
        let mut manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers(std::mem::take(&mut self.descriptors))
            .build()
            .map_err(|error| WriteImageError::Encode(io::Error::other(error)))?;
        manifest.set_annotations((!annotations.is_empty()).then_some(annotations));
        let mut descriptor = self.document(&manifest, MediaType::ImageManifest)?;
        descriptor.set_platform(Some(platform));
        let digest = descriptor.digest().to_string();
        self.sink.finish(&descriptor, tag)?;
        self.task.done();
        Ok(WrittenImage {
            schema: "bootroot.container-encapsulate/1",
            digest,
            layers: self.layers,
        })
    }

    fn document(
        &mut self,
        document: &impl Serialize,
        media_type: MediaType,
    ) -> Result<Descriptor, WriteImageError> {
        let text = canonical::to_string(document).map_err(WriteImageError::Encode)?;
        let mut blob = self.sink.blob()?;
        blob.write_all(text.as_bytes())
            .map_err(WriteImageError::Encode)?;
        Ok(blob.finish()?.descriptor(media_type))
    }
}

/// Let label and annotation name the last layer of the encapsulated commit.
pub(crate) fn set_final_diff_id(
    config: &mut ImageConfiguration,
    annotations: &mut HashMap<String, String>,
    diff_id: &str,
) {
    let mut container = config.config().clone().unwrap_or_default();
    let mut labels = container.labels().clone().unwrap_or_default();
    labels.insert(FINAL_DIFFID_LABEL.to_owned(), diff_id.to_owned());
    container.set_labels(Some(labels));
    config.set_config(Some(container));
    if let Some(annotation) = annotations.get_mut(FINAL_DIFFID_LABEL) {
        diff_id.clone_into(annotation);
    }
}

fn platform_of(config: &ImageConfiguration) -> oci::spec::Platform {
    let mut platform = oci::spec::Platform::default();
    platform.set_architecture(config.architecture().clone());
    platform.set_os(config.os().clone());
    platform.set_variant(config.variant().clone());
    platform
}

/// Counts bytes before they are compressed.
struct Counted<'t, 'a, W> {
    out: W,
    task: &'t Task<'a>,
}

impl<W: Write> Write for Counted<'_, '_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.task.advance(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
