//! Replacing the detached metadata of an encapsulated commit inside of its image.

use error_class::{Classified, ErrorClass};
use layer::{DetachedError, ExportError};
use oci::digest::{Digest, DigestReader};
use oci::manifest::{Layer, ManifestError};
use oci::sink::{ImageSink, Written};
use oci::source::{Error as SourceError, ImageSource};
use oci::spec::Descriptor;
use ostree_format::Metadata;
use progress::{Interrupt, Progress};

use crate::keys::FINAL_DIFFID_LABEL;
use crate::layout::{LayerRole, LayoutError, roles};
use crate::write_image::{Compression, ImageWriter, LayerNote, WriteImageError, WrittenImage};

/// Why detached metadata was not replaced. The destination shows no new image then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateDetachedError {
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The image's documents contradict each other.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The image's labels do not fit its layers.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The image wraps no commit.
    #[error("the image wraps no commit: it has no label {FINAL_DIFFID_LABEL}")]
    NotEncapsulated,
    /// The new metadata is none.
    #[error("the new metadata is not a serialised a{{sv}}: {0}")]
    Metadata(#[source] ostree_format::FormatError),
    /// The layer with the commit cannot be rewritten.
    #[error("layer {digest}: {source}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// Why.
        source: Box<DetachedError>,
    },
    /// The new image cannot be written.
    #[error(transparent)]
    Write(#[from] WriteImageError),
}

impl Classified for UpdateDetachedError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Manifest(error) => error.class(),
            Self::Layout(error) => error.class(),
            Self::NotEncapsulated | Self::Metadata(_) => ErrorClass::InvalidInput,
            Self::Layer { source, .. } => source.class(),
            Self::Write(error) => error.class(),
        }
    }
}

/// Write the image of `source` to `sink`, with `detached` (a serialised `a{sv}`) as the detached metadata
/// of its commit, or without any. Layers besides the one with the commit are the same blobs; that one
/// goes through in one stream.
///
/// # Errors
/// [`UpdateDetachedError`].
pub fn update_detached_metadata(
    source: &dyn ImageSource,
    sink: Box<dyn ImageSink + '_>,
    tag: Option<&str>,
    detached: Option<&[u8]>,
    compression: Compression,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, UpdateDetachedError> {
    if let Some(bytes) = detached {
        Metadata::from_bytes(bytes).map_err(UpdateDetachedError::Metadata)?;
    }
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    let config = source.config(&manifest).map_err(Box::new)?;
    let diff_ids = config.diff_ids(&manifest)?;
    let roles = roles(config.config(), &diff_ids)?;
    if roles.first() != Some(&LayerRole::Commit) {
        return Err(UpdateDetachedError::NotEncapsulated);
    }
    let last = roles.iter().rposition(|role| *role != LayerRole::Derived);
    let total = manifest.layers().iter().map(|layer| layer.size).sum();
    let mut image = ImageWriter::new(sink, compression, total, progress, interrupt);
    for (at, (layer, diff_id)) in manifest.layers().iter().zip(&diff_ids).enumerate() {
        if at == 0 {
            rewrite_layer(source, layer, detached, &mut image, interrupt)?;
        } else {
            copy_layer(source, layer, diff_id, &mut image, interrupt)?;
        }
    }
    let mut config = config.config().clone();
    let mut annotations = manifest
        .manifest()
        .annotations()
        .clone()
        .unwrap_or_default();
    // Only where the layer with the commit is the last of them its diff_id is the one that labels name.
    if last == Some(0)
        && let Some(diff_id) = image.diff_ids().first()
    {
        crate::write_image::set_final_diff_id(&mut config, &mut annotations, diff_id);
    }
    Ok(image.finish(config, annotations, tag)?)
}

/// The layer with the commit: unpacked, changed, and packed again.
fn rewrite_layer(
    source: &dyn ImageSource,
    layer: &Layer,
    detached: Option<&[u8]>,
    image: &mut ImageWriter<'_>,
    interrupt: &Interrupt,
) -> Result<(), UpdateDetachedError> {
    let raw = source.open_blob(&layer.descriptor, 0).map_err(Box::new)?;
    let mut verified = DigestReader::new(raw, layer.digest.clone(), layer.size);
    let mut cause = None;
    let result = image.layer(note_of(&layer.descriptor), |out, _| {
        let blob = interrupt.reader(&mut verified);
        layer::replace_detached(blob, detached, out).map_err(|error| {
            cause = Some(error);
            // Only ends the layer: what is told is the error above.
            ExportError::Write(std::io::ErrorKind::Other.into())
        })
    });
    if !interrupt.is_raised() {
        // A wrong digest explains whatever else is wrong.
        let failed = |error| Box::new(SourceError::from_stream(source.reference(), error));
        verified.drain().map_err(failed)?;
    }
    if let Some(source) = cause {
        let digest = layer.digest.clone();
        let source = Box::new(source);
        return Err(UpdateDetachedError::Layer { digest, source });
    }
    Ok(result?)
}

/// Any other layer: the same blob.
fn copy_layer(
    source: &dyn ImageSource,
    layer: &Layer,
    diff_id: &Digest,
    image: &mut ImageWriter<'_>,
    interrupt: &Interrupt,
) -> Result<(), UpdateDetachedError> {
    let blob = Written {
        digest: layer.digest.clone(),
        size: layer.size,
    };
    let media_type = layer.descriptor.media_type().clone();
    let note = note_of(&layer.descriptor);
    if image.take_over(&blob, source.reference())? {
        image.push(&blob, media_type, &diff_id.to_string(), note);
        return Ok(());
    }
    let raw = source.open_blob(&layer.descriptor, 0).map_err(Box::new)?;
    let verified = DigestReader::new(raw, layer.digest.clone(), layer.size);
    let copied = image.copy_blob(&mut interrupt.reader(verified))?;
    let failed = |error| Box::new(SourceError::from_stream(source.reference(), error));
    let written = copied.map_err(failed)?;
    image.push(&written, media_type, &diff_id.to_string(), note);
    Ok(())
}

fn note_of(layer: &Descriptor) -> LayerNote {
    let annotations = layer.annotations().clone().unwrap_or_default();
    LayerNote {
        annotations: annotations.into_iter().collect(),
        ..LayerNote::default()
    }
}
