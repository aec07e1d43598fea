//! Copying an image from one place to another, byte for byte.

use std::io::{self, Read, Write};

use error_class::{Classified, ErrorClass};
use oci_spec::image::{Descriptor, MediaType};
use progress::{Interrupt, Progress, Task, TaskKind};

use crate::digest::{Digest, DigestReader};
use crate::limits;
use crate::manifest::{Document, Manifest, ManifestError, RawManifest};
use crate::sink::{BlobSink, ImageSink, WriteError};
use crate::source::{Error as SourceError, ImageSource, blob_digest};

/// How much is read at once, in bytes.
const PIECE: usize = 128 * 1024;

/// Why an image was not copied. The destination shows none, though blobs may stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The destination cannot be written to.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The destination does not take a blob.
    #[error("cannot write {digest}: {cause}")]
    Blob {
        /// The blob.
        digest: Digest,
        /// Why.
        cause: io::Error,
    },
}

impl Classified for CopyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Write(error) => error.class(),
            Self::Blob { cause, .. } => cause.class(),
        }
    }
}

/// What has been copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The digest of the manifest, which is the same in both places.
    pub digest: Digest,
    /// Bytes of blobs that went through here.
    pub sent: u64,
    /// Bytes of blobs that the destination had, or got by itself.
    pub present: u64,
}

/// Copy the image of `source`, for its platform, to `sink`, under `tag` if there is one. What the
/// destination has or can get by itself is not sent.
///
/// # Errors
/// [`CopyError`].
pub fn copy(
    source: &dyn ImageSource,
    mut sink: Box<dyn ImageSink + '_>,
    tag: Option<&str>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Copied, CopyError> {
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    let config = source.config(&manifest).map_err(Box::new)?;
    let total = manifest.layers().iter().map(|layer| layer.size).sum();
    let task = Task::begin(progress, TaskKind::Push, Some(total));
    let mut copying = Copying::new(source, &mut *sink, task, interrupt);
    for layer in manifest.layers() {
        copying.blob(&layer.descriptor)?;
    }
    document(copying.sink, config.bytes())?;
    document(copying.sink, manifest.bytes())?;
    let copied = copying.done(manifest.digest());
    let mut descriptor = described(&manifest);
    let mut platform = oci_spec::image::Platform::default();
    platform.set_architecture(config.config().architecture().clone());
    platform.set_os(config.config().os().clone());
    platform.set_variant(config.config().variant().clone());
    descriptor.set_platform(Some(platform));
    sink.finish(&descriptor, tag)?;
    Ok(copied)
}

/// Copy all that the reference of `source` names, as [`copy`] does: where that is an index, the images for all
/// platforms.
///
/// # Errors
/// [`CopyError`].
pub fn copy_all(
    source: &dyn ImageSource,
    mut sink: Box<dyn ImageSink + '_>,
    tag: Option<&str>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Copied, CopyError> {
    let top = source.top().map_err(Box::new)?;
    let digest = top.digest().clone();
    let task = Task::begin(progress, TaskKind::Push, None);
    let mut copying = Copying::new(source, &mut *sink, task, interrupt);
    let descriptor = copying.all_of(top, 0)?;
    let copied = copying.done(&digest);
    sink.finish(&descriptor, tag)?;
    Ok(copied)
}

/// A copy under way.
struct Copying<'c> {
    source: &'c dyn ImageSource,
    sink: &'c mut dyn ImageSink,
    task: Task<'c>,
    interrupt: &'c Interrupt,
    sent: u64,
    present: u64,
}

impl<'c> Copying<'c> {
    const fn new(
        source: &'c dyn ImageSource,
        sink: &'c mut dyn ImageSink,
        task: Task<'c>,
        interrupt: &'c Interrupt,
    ) -> Self {
        Self {
            source,
            sink,
            task,
            interrupt,
            sent: 0,
            present: 0,
        }
    }

    fn done(self, digest: &Digest) -> Copied {
        self.task.done();
        Copied {
            digest: digest.clone(),
            sent: self.sent,
            present: self.present,
        }
    }

    /// A manifest or index with all that it refers to.
    fn all_of(&mut self, document: Document, depth: usize) -> Result<Descriptor, CopyError> {
        let (source, digest) = (self.source, document.digest().clone());
        let malformed = |cause| Box::new(source.manifest_error(cause));
        match document.parse().map_err(malformed)? {
            Manifest::Image(manifest) => {
                let config = [manifest.manifest().config()];
                for blob in manifest.manifest().layers().iter().chain(config) {
                    self.blob(blob)?;
                }
                self::document(self.sink, manifest.bytes())?;
                Ok(described(&manifest))
            }
            Manifest::Index(_) if depth > limits::NESTED_INDEXES => {
                Err(malformed(ManifestError::Nesting(digest)).into())
            }
            Manifest::Index(index) => {
                for entry in index.index().manifests() {
                    let part = source.document(entry).map_err(Box::new)?;
                    self.all_of(part, depth + 1)?;
                }
                self::document(self.sink, index.bytes())?;
                let media_type = index.index().media_type().clone();
                let media_type = media_type.unwrap_or(MediaType::ImageIndex);
                let size = index.bytes().len() as u64;
                Ok(Descriptor::new(media_type, size, &digest))
            }
        }
    }

    /// A blob, unless the destination has it or can get it by itself.
    fn blob(&mut self, descriptor: &Descriptor) -> Result<(), CopyError> {
        let source = self.source;
        let digest = blob_digest(source.reference(), descriptor).map_err(Box::new)?;
        let size = descriptor.size();
        if self.sink.take_over(&digest, source.reference())? {
            self.present += size;
            self.task.advance(size);
            return Ok(());
        }
        let raw = source.open_blob(descriptor, 0).map_err(Box::new)?;
        let verified = DigestReader::new(raw, digest.clone(), size);
        let mut content = self.task.reader(self.interrupt.reader(verified));
        let mut blob = self.sink.blob()?;
        let read = pass(&mut content, &mut *blob);
        let read = read.map_err(|cause| CopyError::Blob { digest, cause })?;
        let failed = |error| Box::new(SourceError::from_stream(source.reference(), error));
        read.map_err(failed)?;
        blob.finish()?;
        self.sent += size;
        Ok(())
    }
}

fn described(manifest: &RawManifest) -> Descriptor {
    let media_type = manifest.manifest().media_type().clone();
    let media_type = media_type.unwrap_or(MediaType::ImageManifest);
    let size = manifest.bytes().len() as u64;
    Descriptor::new(media_type, size, manifest.digest())
}

/// Pass all of `content` on. The inner error is that of reading.
fn pass(content: &mut impl Read, blob: &mut dyn BlobSink) -> io::Result<io::Result<()>> {
    let mut buffer = vec![0; PIECE];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(count) => blob.write_all(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

fn document(sink: &mut dyn ImageSink, bytes: &[u8]) -> Result<(), CopyError> {
    let mut blob = sink.blob()?;
    let written = blob.write_all(bytes);
    written.map_err(|cause| WriteError::Encode {
        what: "a document of the image",
        cause,
    })?;
    blob.finish()?;
    Ok(())
}
