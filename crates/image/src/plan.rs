//! What a pull would do, as a value.

use std::collections::HashMap;

use error_class::{Classified, ErrorClass};
use layer::{Companion, TapError};
use oci::digest::Digest;
use oci::manifest::{ManifestError, RawConfig, RawManifest};
use oci::reference::ImageReference;
use oci::source::{Error as SourceError, ImageSource};
use oci::spec::ImageConfiguration;
use ostree::{Repo, WriteError};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, ObjectKind, ObjectName};
use progress::{Progress, Task, TaskKind};

use crate::keys::{BOOTABLE_LABEL, BOOTC_LABEL};
use crate::layout::{LayerRole, LayoutError, label, roles};
use crate::query::{LayeredImageState, QueryError, query_image};
use crate::refs::{RefNameError, ref_for_digest};
use crate::{ImportOptions, cached_update, list_images, query_image_commit};

/// The answer of [`prepare`].
#[derive(Debug)]
pub enum Prepared {
    /// The very image is stored.
    AlreadyPresent(Box<LayeredImageState>),
    /// There is something to do.
    Ready(Box<ImportPlan>),
}

/// What a pull would do. It holds no connection; it stays right as long as nothing else writes.
#[derive(Debug)]
pub struct ImportPlan {
    /// The name under which the image will be stored.
    pub stored_as: ImageReference,
    /// The manifest, with its digest.
    pub manifest: RawManifest,
    /// The config.
    pub config: RawConfig,
    /// The layers, lowest first.
    pub layers: Vec<LayerState>,
    /// What is stored under the name now.
    pub previous: Option<Box<LayeredImageState>>,
}

/// A layer of an image, and whether it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerState {
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob.
    pub size: u64,
    /// The digest of the unpacked layer.
    pub diff_id: Digest,
    /// What the layer is.
    pub role: LayerRole,
    /// The commit that holds it, if it is stored.
    pub commit: Option<Checksum>,
    /// How the image says it was made.
    pub created_by: Option<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The image's documents contradict each other.
    #[error("image {image}: {source}")]
    Manifest {
        /// The image.
        image: ImageReference,
        /// What is wrong.
        source: ManifestError,
    },
    /// The image's labels do not fit its layers.
    #[error("image {image}: {source}")]
    Layout {
        /// The image.
        image: ImageReference,
        /// What is wrong.
        source: LayoutError,
    },
    /// The image is not meant to boot.
    #[error(
        "image {0} is not bootable: it has neither the label {BOOTC_LABEL} nor {BOOTABLE_LABEL}; \
         build it from a bootable base image"
    )]
    NotBootable(ImageReference),
    /// The image is for another processor.
    #[error("image {image} is for architecture {found}, but {wanted} is needed")]
    WrongArchitecture {
        /// The image.
        image: ImageReference,
        /// What it is for.
        found: String,
        /// What is needed.
        wanted: String,
    },
    /// Nothing may be fetched, but something would have to be.
    #[error("image {0} is not stored, and offline mode forbids to fetch it")]
    Offline(ImageReference),
    /// What is stored cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The pending update could not be remembered.
    #[error("cannot remember the pending update: {0}")]
    Cache(#[from] WriteError),
    /// Another store cannot be asked what it has.
    #[error(transparent)]
    Beside(#[from] Box<TapError>),
    /// The image has a name that no ref can have.
    #[error(transparent)]
    Name(#[from] RefNameError),
}

impl Classified for PlanError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Source(error) => error.class(),
            Self::Manifest { source, .. } => source.class(),
            Self::Layout { source, .. } => source.class(),
            Self::NotBootable(_) | Self::WrongArchitecture { .. } => ErrorClass::InvalidInput,
            Self::Offline(_) => ErrorClass::NotFound,
            Self::Query(error) => error.class(),
            Self::Cache(error) => error.class(),
            Self::Beside(error) => error.class(),
            Self::Name(error) => error.class(),
        }
    }
}

impl ImportPlan {
    /// The layers that must be fetched, each blob once.
    pub fn to_fetch(&self) -> impl Iterator<Item = (usize, &LayerState)> {
        let first = move |index: usize, layer: &LayerState| {
            !self
                .layers
                .iter()
                .take(index)
                .any(|earlier| earlier.digest == layer.digest)
        };
        let missing = move |(index, layer): &(usize, &LayerState)| {
            layer.commit.is_none() && first(*index, layer)
        };
        self.layers.iter().enumerate().filter(missing)
    }

    /// Compressed bytes that must be fetched.
    #[must_use]
    pub fn bytes_to_fetch(&self) -> u64 {
        self.to_fetch().map(|(_, layer)| layer.size).sum()
    }

    /// The version that the image says it has.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        crate::query::version_of(self.config.config())
    }
}

/// Find out what a pull of `source` into `repo` would do. When the name is stored already, what the
/// pull would bring is remembered for offline queries.
///
/// # Errors
/// [`PlanError`]; the repository is unchanged but for what was remembered.
pub fn prepare(
    repo: &Repo,
    source: &dyn ImageSource,
    options: &ImportOptions,
    progress: &dyn Progress,
) -> Result<Prepared, PlanError> {
    let image = source.reference();
    let stored_as = options.target.as_ref().unwrap_or(image);
    let previous = previous_state(repo, stored_as, progress)?;
    if let Some(previous) = previous
        .as_ref()
        .filter(|p| is_pinned_to(image, &p.manifest_digest))
    {
        return already_present(source, previous, options);
    }
    if options.offline {
        return Err(PlanError::Offline(image.clone()));
    }
    let task = Task::begin(
        progress,
        TaskKind::FetchManifest {
            image: image.to_string(),
        },
        None,
    );
    let manifest = source.manifest().map_err(Box::new)?.manifest;
    if let Some(previous) = previous
        .as_ref()
        .filter(|previous| is_same(previous, &manifest))
    {
        task.done();
        return already_present(source, previous, options);
    }
    let config = source.config(&manifest).map_err(Box::new)?;
    task.done();
    if options.require_bootable {
        check_bootable(source, config.config())?;
    }
    if let Some(previous) = &previous {
        cached_update::write(repo, &previous.merge_commit, &manifest, &config)?;
    }
    let mut plan = plan_anew(repo, source, stored_as, manifest, config)?;
    plan.previous = previous.map(Box::new);
    Ok(Prepared::Ready(Box::new(plan)))
}

/// As [`prepare`] for a pull that gives the layers to `companion`, too: an image that is stored is fetched again as
/// far as that lacks its layers.
///
/// # Errors
/// As there.
pub fn prepare_beside(
    repo: &Repo,
    source: &dyn ImageSource,
    options: &ImportOptions,
    companion: &dyn Companion,
    progress: &dyn Progress,
) -> Result<Prepared, PlanError> {
    let prepared = prepare(repo, source, options, progress)?;
    let Prepared::AlreadyPresent(state) = &prepared else {
        return Ok(prepared);
    };
    for diff_id in state.configuration.rootfs().diff_ids() {
        if companion.has(diff_id)? {
            continue;
        }
        if options.offline {
            return Err(PlanError::Offline(source.reference().clone()));
        }
        let manifest = source.manifest().map_err(Box::new)?.manifest;
        let config = source.config(&manifest).map_err(Box::new)?;
        let stored_as = options.target.as_ref().unwrap_or(source.reference());
        let plan = plan_anew(repo, source, stored_as, manifest, config)?;
        return Ok(Prepared::Ready(Box::new(plan)));
    }
    Ok(prepared)
}

/// A plan to bring the image here whatever is stored under its name.
pub(crate) fn plan_anew(
    repo: &Repo,
    source: &dyn ImageSource,
    stored_as: &ImageReference,
    manifest: RawManifest,
    config: RawConfig,
) -> Result<ImportPlan, PlanError> {
    let layers = layer_states(repo, source.reference(), &manifest, &config)?;
    Ok(ImportPlan {
        stored_as: stored_as.clone(),
        manifest,
        config,
        layers,
        previous: None,
    })
}

/// What is stored under the name; something damaged is said and then treated as absent, so that
/// pulling again repairs it.
fn previous_state(
    repo: &Repo,
    image: &ImageReference,
    progress: &dyn Progress,
) -> Result<Option<LayeredImageState>, PlanError> {
    match query_image(repo, image) {
        Err(error) if error.class() == ErrorClass::Corrupt => {
            progress.note(&format!(
                "the stored image {image} is damaged and is pulled anew: {error}"
            ));
            Ok(None)
        }
        other => Ok(other?),
    }
}

fn is_pinned_to(image: &ImageReference, digest: &Digest) -> bool {
    let reference = image.as_registry().and_then(Result::ok);
    reference.is_some_and(|reference| reference.digest() == Some(digest))
}

/// The same manifest, or another one for the same content.
fn is_same(previous: &LayeredImageState, manifest: &RawManifest) -> bool {
    previous.manifest_digest == *manifest.digest()
        || previous.manifest.config().digest() == manifest.manifest().config().digest()
}

/// What is stored has to meet the same demands as what would be fetched.
fn already_present(
    source: &dyn ImageSource,
    previous: &LayeredImageState,
    options: &ImportOptions,
) -> Result<Prepared, PlanError> {
    if options.require_bootable {
        check_bootable(source, &previous.configuration)?;
    }
    Ok(Prepared::AlreadyPresent(Box::new(previous.clone())))
}

fn check_bootable(source: &dyn ImageSource, config: &ImageConfiguration) -> Result<(), PlanError> {
    let image = source.reference();
    let has = |key| label(config, key).is_some();
    if !has(BOOTC_LABEL) && !has(BOOTABLE_LABEL) {
        return Err(PlanError::NotBootable(image.clone()));
    }
    let (found, wanted) = (config.architecture(), &source.platform().architecture);
    if found.to_string() == *wanted {
        return Ok(());
    }
    Err(PlanError::WrongArchitecture {
        image: image.clone(),
        found: found.to_string(),
        wanted: wanted.clone(),
    })
}

fn layer_states(
    repo: &Repo,
    image: &ImageReference,
    manifest: &RawManifest,
    config: &RawConfig,
) -> Result<Vec<LayerState>, PlanError> {
    let contradiction = |source| PlanError::Manifest {
        image: image.clone(),
        source,
    };
    let diff_ids = config.diff_ids(manifest).map_err(contradiction)?;
    let roles = roles(config.config(), &diff_ids).map_err(|source| PlanError::Layout {
        image: image.clone(),
        source,
    })?;
    let mut history = created_by(config);
    let mut layers = Vec::new();
    for ((layer, diff_id), role) in manifest.layers().iter().zip(diff_ids).zip(roles) {
        layers.push(LayerState {
            digest: layer.digest.clone(),
            size: layer.size,
            commit: stored_layer(repo, &layer.digest)?,
            diff_id,
            role,
            created_by: history.next().flatten(),
        });
    }
    reuse_by_diff_id(repo, &mut layers)?;
    Ok(layers)
}

/// How each layer was made, for the layers in order: entries of the history that made none are left out.
fn created_by(config: &RawConfig) -> impl Iterator<Item = Option<String>> {
    let history = config.config().history().clone().unwrap_or_default();
    let made_layer = |entry: &oci::spec::History| !entry.empty_layer().unwrap_or(false);
    history
        .into_iter()
        .filter(made_layer)
        .map(|entry| entry.created_by().clone())
}

/// The commit of a stored layer. A ref that names a commit which is not there counts for nothing.
fn stored_layer(repo: &Repo, digest: &Digest) -> Result<Option<Checksum>, PlanError> {
    let refspec = Refspec::local(ref_for_digest(digest)?);
    let Some(commit) = repo.read_ref(&refspec).map_err(QueryError::from)? else {
        return Ok(None);
    };
    let there = repo.has_object(&ObjectName::new(commit, ObjectKind::Commit));
    Ok(there
        .map_err(|error| QueryError::Read(error.into()))?
        .then_some(commit))
}

/// Layers that are stored under another digest, because they were compressed in another way.
fn reuse_by_diff_id(repo: &Repo, layers: &mut [LayerState]) -> Result<(), PlanError> {
    if layers.iter().all(|layer| layer.commit.is_some()) {
        return Ok(());
    }
    let mut known: HashMap<String, Digest> = HashMap::new();
    for (_, commit) in list_images(repo)? {
        // An image that cannot be read has nothing to offer.
        let Ok(state) = query_image_commit(repo, &commit) else {
            continue;
        };
        for (layer, diff_id) in state
            .manifest
            .layers()
            .iter()
            .zip(state.configuration.rootfs().diff_ids())
        {
            if let Ok(digest) = layer.digest().to_string().parse() {
                known.entry(diff_id.clone()).or_insert(digest);
            }
        }
    }
    for layer in layers.iter_mut().filter(|layer| layer.commit.is_none()) {
        if let Some(digest) = known.get(&layer.diff_id.to_string()) {
            layer.commit = stored_layer(repo, digest)?;
        }
    }
    Ok(())
}
