//! From a stored image back to an image, with the layers that it came in.

use std::collections::BTreeMap;

use error_class::{Classified, ErrorClass};
use layer::{Content, LayerOptions};
use oci::digest::Digest;
use oci::reference::ImageReference;
use oci::sink::ImageSink;
use oci::spec::{Descriptor, History};
use ostree::{ReadError, Repo};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Progress};

use crate::encapsulate::content_of;
use crate::layout::{LayerRole, LayoutError, roles};
use crate::query::{LayeredImageState, QueryError, query_image};
use crate::refs::{RefNameError, ref_for_digest};
use crate::stored_layer::StoredLayer;
use crate::write_image::{
    Compression, ImageWriter, LayerNote, WriteImageError, WrittenImage, set_final_diff_id,
};

/// Choices of an export.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ExportToOCIOpts {
    /// How layers are compressed.
    pub compression: Compression,
    /// How layers of an encapsulated commit are written.
    pub layers: LayerOptions,
}

/// Why a stored image was not exported. The destination shows none, though blobs may stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportImageError {
    /// The image cannot be described.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Its labels do not fit its layers.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A layer is not stored.
    #[error("layer {0} of the image is not stored; `image check --repair` fetches it again")]
    MissingLayer(Digest),
    /// Something that is stored cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A digest cannot be a name.
    #[error(transparent)]
    Name(#[from] RefNameError),
    /// The image could not be written.
    #[error(transparent)]
    Write(#[from] WriteImageError),
}

impl Classified for ExportImageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Query(error) => error.class(),
            Self::Layout(error) => error.class(),
            Self::MissingLayer(_) => ErrorClass::Corrupt,
            Self::Read(error) => error.class(),
            Self::Name(error) => error.class(),
            Self::Write(error) => error.class(),
        }
    }
}

/// Write the stored `image` to `sink`, under `tag` if there is one. Config, history, annotations and the
/// cut into layers are kept; archives are written anew, so digests and diff_ids are other ones.
///
/// # Errors
/// [`ExportImageError`].
pub fn export(
    repo: &Repo,
    image: &ImageReference,
    sink: Box<dyn ImageSink + '_>,
    tag: Option<&str>,
    options: &ExportToOCIOpts,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, ExportImageError> {
    let state = query_image(repo, image)?.ok_or_else(|| QueryError::NotStored(image.clone()))?;
    let layers = stored_layers(repo, &state)?;
    let contents = contents_of_base(repo, &layers)?;
    let total = state.manifest.layers().iter().map(Descriptor::size).sum();
    let mut writer = ImageWriter::new(sink, options.compression, total, progress, interrupt);
    let mut last_of_base = None;
    for (at, note) in notes(&state).into_iter().enumerate() {
        let content = contents.get(at);
        write_layer(repo, layers[at], content, &mut writer, note, options.layers)?;
        if content.is_some() {
            last_of_base = writer.diff_ids().pop();
        }
    }
    let mut config = state.configuration.clone();
    let mut annotations = state.manifest.annotations().clone().unwrap_or_default();
    if let Some(diff_id) = last_of_base {
        set_final_diff_id(&mut config, &mut annotations, &diff_id);
    }
    Ok(writer.finish(config, annotations, tag)?)
}

/// What a layer is, and the commit that holds it.
type StoredAs = (LayerRole, Checksum);

fn stored_layers(
    repo: &Repo,
    state: &LayeredImageState,
) -> Result<Vec<StoredAs>, ExportImageError> {
    let roles = roles(&state.configuration, &state.diff_ids()?)?;
    let mut layers = Vec::new();
    for (digest, role) in state.layer_digests()?.into_iter().zip(roles) {
        let name = Refspec::local(ref_for_digest(&digest)?);
        let found = repo.read_ref(&name).map_err(QueryError::from)?;
        let commit = found.ok_or(ExportImageError::MissingLayer(digest))?;
        layers.push((role, commit));
    }
    Ok(layers)
}

/// The content of each layer of the encapsulated commit: what the stored object sets name, and with the
/// commit all that none of them does.
fn contents_of_base(repo: &Repo, layers: &[StoredAs]) -> Result<Vec<Content>, ExportImageError> {
    let Some((LayerRole::Commit, commit)) = layers.first() else {
        return Ok(Vec::new());
    };
    let mut rest = content_of(repo, &repo.load_commit(commit)?.contents)?;
    let mut contents = vec![Content::new()];
    for (role, commit) in layers {
        if *role == LayerRole::Chunk {
            let objects = layer::object_set(repo, &repo.load_commit(commit)?.contents)?;
            let chunk = objects
                .into_iter()
                .filter_map(|object| rest.remove_entry(&object));
            contents.push(chunk.collect());
        }
    }
    contents[0] = rest;
    Ok(contents)
}

fn write_layer(
    repo: &Repo,
    (role, commit): StoredAs,
    content: Option<&Content>,
    writer: &mut ImageWriter<'_>,
    note: LayerNote,
    options: LayerOptions,
) -> Result<(), ExportImageError> {
    match (role, content) {
        (LayerRole::Commit, Some(content)) => writer.layer(note, |out, interrupt| {
            layer::write_commit(repo, &commit, content, options, out, interrupt)
        })?,
        (LayerRole::Chunk, Some(content)) => writer.layer(note, |out, interrupt| {
            layer::write_chunk(repo, content, options, out, interrupt)
        })?,
        _ => {
            let stored = StoredLayer::load(repo, &commit)?;
            writer.layer(note, |out, interrupt| {
                layer::write_tree(repo, &stored.tree, &stored.deferred, out, interrupt)
            })?;
        }
    }
    Ok(())
}

/// Annotations and history of each layer. The config keeps its own history, entries without a layer
/// included.
fn notes(state: &LayeredImageState) -> Vec<LayerNote> {
    let history = state.configuration.history().clone().unwrap_or_default();
    let made_layer = |entry: &History| !entry.empty_layer().unwrap_or(false);
    let mut history = history.into_iter().filter(made_layer);
    let note = |layer: &Descriptor| {
        let annotations: BTreeMap<_, _> = layer
            .annotations()
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        LayerNote {
            annotations,
            history: history.next().unwrap_or_default(),
        }
    };
    state.manifest.layers().iter().map(note).collect()
}
