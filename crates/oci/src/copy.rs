//! Copying an image from one place to another, byte for byte.

use std::io::{self, Read, Write};

use error_class::{Classified, ErrorClass};
use oci_spec::image::{Descriptor, MediaType};
use progress::{Interrupt, Progress, Task, TaskKind};

use crate::digest::{Digest, DigestReader};
use crate::sink::{BlobSink, ImageSink, WriteError};
use crate::source::{Error as SourceError, ImageSource};

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
    let mut copied = Copied {
        digest: manifest.digest().clone(),
        sent: 0,
        present: 0,
    };
    for layer in manifest.layers() {
        if sink.take_over(&layer.digest, source.reference())? {
            copied.present += layer.size;
            task.advance(layer.size);
            continue;
        }
        let raw = source.open_blob(&layer.descriptor, 0).map_err(Box::new)?;
        let verified = DigestReader::new(raw, layer.digest.clone(), layer.size);
        let mut content = task.reader(interrupt.reader(verified));
        let mut blob = sink.blob()?;
        let read = pass(&mut content, &mut *blob).map_err(|cause| CopyError::Blob {
            digest: layer.digest.clone(),
            cause,
        })?;
        let failed = |error| Box::new(SourceError::from_stream(source.reference(), error));
        read.map_err(failed)?;
        blob.finish()?;
        copied.sent += layer.size;
    }
    document(&mut *sink, config.bytes())?;
    document(&mut *sink, manifest.bytes())?;
    let media_type = manifest.manifest().media_type().clone();
    let media_type = media_type.unwrap_or(MediaType::ImageManifest);
    let size = manifest.bytes().len() as u64;
    let mut descriptor = Descriptor::new(media_type, size, &copied.digest);
    let mut platform = oci_spec::image::Platform::default();
    platform.set_architecture(config.config().architecture().clone());
    platform.set_os(config.config().os().clone());
    platform.set_variant(config.config().variant().clone());
    descriptor.set_platform(Some(platform));
    sink.finish(&descriptor, tag)?;
    task.done();
    Ok(copied)
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
