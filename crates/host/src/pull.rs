//! Bringing an image into the store, and finding out whether there is a newer one.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use composefs::Store;
use composefs_image::Beside;
use error_class::{Classified, ErrorClass};
use image::{
    ImportError, ImportOptions, ImportPlan, Imported, LayeredImageState, PlanError, Prepared,
    prepare, prepare_beside, record_verdict,
};
use image_trust::Verdict;
use layer::Companion;
use oci::digest::Digest;
use oci::parts::{PartLimits, Parts};
use oci::reference::{ImageReference, OstreeImageReference, SignatureSource};
use oci::source::{Error as SourceError, ImageSource, open};
use ostree::Repo;
use ostree_format::Checksum;
use progress::{Interrupt, Progress, TaskKind};
use serde::Serialize;

use crate::image_explain::enforce;
use crate::layer_count::LayerCount;
use crate::layer_sum::LayerSum;
use crate::remote_signature::RemoteSignature;
use crate::text::{text, text_or_null};
use crate::{Access, AccessError, NoSpace, RemoteSignatureError, TrustError};

/// Below the repository's `tmp`, from where libostree too removes what has not been touched for long.
const PARTS_DIR: &str = "bootroot-partial-blobs";

/// As [`PARTS_DIR`], for copies of images.
const COPIES_DIR: &str = "bootroot-copies";

/// Choices of a pull.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PullOptions {
    /// Store the image under this name instead of the one it is fetched by.
    pub target: Option<ImageReference>,
    /// Write no name for the image.
    pub no_imgref: bool,
    /// Refuse images that are not labelled as bootable, or are for another processor.
    pub require_bootable: bool,
    /// Keep layers that no image needs any more.
    pub skip_collection: bool,
    /// Fetch nothing: only an image that is stored will do.
    pub offline: bool,
    /// The commit whose SELinux policy labels images that wrap no commit.
    pub policy_commit: Option<Checksum>,
    /// The current time in seconds since 1970, for images that do not say when they were made.
    pub now: u64,
    /// The composefs repository that shall have the image, too, with the same files.
    pub composefs: Option<Arc<Store>>,
    /// There, make the root as it is booted, too.
    pub composefs_bootable: bool,
}

/// An image as it is stored after a pull (`docs/image-pull.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Pulled {
    schema: &'static str,
    /// Whether anything was fetched or written; the image was there already otherwise.
    pub changed: bool,
    /// The image as it was asked for.
    #[serde(serialize_with = "text")]
    pub image: OstreeImageReference,
    /// The name it is stored under; none when no name was wanted.
    #[serde(serialize_with = "text_or_null")]
    pub stored_as: Option<ImageReference>,
    /// The digest of its manifest.
    #[serde(serialize_with = "text")]
    pub digest: Digest,
    /// The version that it says it has.
    pub version: Option<String>,
    /// The commit whose tree is the whole image.
    #[serde(serialize_with = "text")]
    pub commit: Checksum,
    /// The encapsulated commit that it is based on, if it is.
    #[serde(serialize_with = "text_or_null")]
    pub base_commit: Option<Checksum>,
    /// Its layers.
    pub layers: LayerCount,
    /// Compressed bytes that were fetched.
    pub bytes_fetched: u64,
    /// Entries that were not kept: by layer, by top-level directory.
    pub filtered: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Whether a pull would change anything (`docs/image-check.schema.json`).
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    schema: &'static str,
    /// Whether it would.
    pub update_available: bool,
    /// The image as it was asked for.
    #[serde(serialize_with = "text")]
    pub image: OstreeImageReference,
    /// The digest of the manifest at the source.
    #[serde(serialize_with = "text")]
    pub digest: Digest,
    /// The version that the image at the source says it has.
    pub version: Option<String>,
    /// The digest of the manifest that is stored under the name, if any is.
    #[serde(serialize_with = "text_or_null")]
    pub stored_digest: Option<Digest>,
    /// The version of the stored image.
    pub stored_version: Option<String>,
    /// The layers of the image at the source.
    pub layers: LayerCount,
    /// Compressed bytes that a pull would fetch.
    pub bytes_to_fetch: u64,
}

/// Why an image was not pulled. What is stored under the name is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The way to the image.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The commit in the image is not signed as its remote asks.
    #[error(transparent)]
    RemoteSignature(#[from] RemoteSignatureError),
    /// The tag names another image by now than the one that was verified.
    #[error("{0} names another image since it was verified; run the same command again")]
    Moved(ImageReference),
    /// The image is not signed as it has to be.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// What is to be done cannot be found out.
    #[error(transparent)]
    Plan(#[from] Box<PlanError>),
    /// It cannot be done.
    #[error(transparent)]
    Import(#[from] Box<ImportError>),
    /// The image is stored, but the composefs repository has not got it.
    #[error("the image is stored, but not in the composefs repository: {0}")]
    Composefs(#[from] composefs_image::ImageError),
    /// There is not enough space for what would be fetched.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
}

impl Classified for PullError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Access(error) => error.class(),
            Self::Source(error) => error.class(),
            Self::RemoteSignature(error) => error.class(),
            Self::Moved(_) => ErrorClass::Untrusted,
            Self::Trust(error) => error.class(),
            Self::Plan(error) => error.class(),
            Self::Import(error) => error.class(),
            Self::Composefs(error) => error.class(),
            Self::NoSpace(error) => error.class(),
        }
    }
}

/// Brings an image into the repository. Layers that are there already are not fetched.
///
/// # Errors
/// [`PullError`]; layers that were complete by then stay and are not fetched again.
pub fn pull(
    repo: &Repo,
    image: &OstreeImageReference,
    access: &Access,
    options: &PullOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Pulled, PullError> {
    pull_if(
        repo,
        image,
        access,
        options,
        progress,
        interrupt,
        |_| Ok(()),
    )
}

/// As [`pull`]; `agree` sees what would be fetched before anything is, and may refuse.
pub(crate) fn pull_if(
    repo: &Repo,
    image: &OstreeImageReference,
    access: &Access,
    options: &PullOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
    agree: impl FnOnce(&ImportPlan) -> Result<(), PullError>,
) -> Result<Pulled, PullError> {
    let remote = remote_signature(repo, image, access)?;
    let mut context = access.context(&image.imgref, interrupt)?;
    context.parts = parts(repo, options.now, progress);
    context.scratch = scratch(repo);
    let source = open(&image.imgref, &context).map_err(Box::new)?;
    let choices = import_options(options);
    let stored_as = stored_as(image, options);
    let beside = options.composefs.as_deref().map(Beside);
    let beside = beside.as_ref().map(|beside| -> &dyn Companion { beside });
    let prepared = match beside {
        None => prepare(repo, source.as_ref(), &choices, progress),
        Some(beside) => prepare_beside(repo, source.as_ref(), &choices, beside, progress),
    };
    let prepared = prepared.map_err(Box::new)?;
    let digest = match &prepared {
        Prepared::AlreadyPresent(state) => &state.manifest_digest,
        Prepared::Ready(plan) => plan.manifest.digest(),
    };
    let now = options.now;
    let verdict = enforce(image, source.as_ref(), digest, access, &context, now)?;
    let pulled = match prepared {
        Prepared::AlreadyPresent(state) => {
            if let Some(remote) = &remote {
                remote.verify(repo, state.base_commit.as_ref(), now)?;
            }
            already_present(image, stored_as, &state)
        }
        Prepared::Ready(plan) => {
            agree(&plan)?;
            let sum = LayerSum::new(progress, whole(image, &plan), plan.bytes_to_fetch());
            let source = source.as_ref();
            let imported = match &remote {
                Some(remote) => {
                    let beside = (&choices, beside);
                    import_signed(*plan, repo, source, beside, &sum, interrupt, remote)?
                }
                None => {
                    let imported =
                        plan.import_beside(repo, source, &choices, beside, &sum, interrupt);
                    imported.map_err(Box::new)?
                }
            };
            sum.done();
            fetched(image, stored_as, imported)
        }
    };
    if let Some(verdict) = verdict {
        record(repo, &pulled.commit, &verdict, progress);
    }
    if let Some(store) = &options.composefs {
        let name = pulled.stored_as.as_ref().map(ToString::to_string);
        keep_beside(
            store,
            source.as_ref(),
            &pulled.digest,
            name.as_deref(),
            options,
        )?;
    }
    Ok(pulled)
}

/// Gives the composefs repository, which has the layers, the image.
fn keep_beside(
    store: &Store,
    source: &dyn ImageSource,
    digest: &Digest,
    name: Option<&str>,
    options: &PullOptions,
) -> Result<(), PullError> {
    let stored = composefs_image::find(store, &digest.to_string());
    let (manifest, config) = match stored {
        Ok(image) => (image.manifest, image.config),
        Err(_) => {
            let manifest = source.manifest().map_err(Box::new)?.manifest;
            if manifest.digest() != digest {
                return Err(PullError::Moved(source.reference().clone()));
            }
            let config = source.config(&manifest).map_err(Box::new)?;
            (manifest, config)
        }
    };
    let bootable = options.composefs_bootable;
    composefs_image::store_image(store, &manifest, &config, name, bootable)?;
    Ok(())
}

/// Imports without a name first, so that an image gets its name only once the commit in it, which comes
/// with a layer, was verified. Nothing is fetched twice.
fn import_signed(
    plan: ImportPlan,
    repo: &Repo,
    source: &dyn ImageSource,
    (choices, beside): (&ImportOptions, Option<&dyn Companion>),
    progress: &dyn Progress,
    interrupt: &Interrupt,
    remote: &RemoteSignature<'_>,
) -> Result<Imported, PullError> {
    let mut nameless = choices.clone();
    nameless.no_imgref = true;
    nameless.skip_collection = true;
    let wanted = plan.manifest.digest().clone();
    let imported = plan.import_beside(repo, source, &nameless, beside, progress, interrupt);
    let mut imported = imported.map_err(Box::new)?;
    remote.verify(repo, imported.state.base_commit.as_ref(), choices.now)?;
    if choices.no_imgref {
        return Ok(imported);
    }
    let prepared = prepare(repo, source, choices, &progress::Silent).map_err(Box::new)?;
    let Prepared::Ready(plan) = prepared else {
        return Ok(imported);
    };
    if *plan.manifest.digest() != wanted {
        return Err(PullError::Moved(source.reference().clone()));
    }
    let named = plan.import(repo, source, choices, &progress::Silent, interrupt);
    imported.state = named.map_err(Box::new)?.state;
    Ok(imported)
}

/// Notes with the image who vouched for it. The image is complete; that this fails is no reason to.
fn record(repo: &Repo, commit: &Checksum, verdict: &Verdict, progress: &dyn Progress) {
    let recorded = serde_json::to_string(verdict)
        .map_err(|error| error.to_string())
        .and_then(|text| record_verdict(repo, commit, &text).map_err(|error| error.to_string()));
    if let Err(error) = recorded {
        progress.note(&format!(
            "the verdict on signatures cannot be recorded: {error}"
        ));
    }
}

/// Where partly fetched layers are kept. A pull does not fail because they cannot be.
fn parts(repo: &Repo, now: u64, progress: &dyn Progress) -> Option<Parts> {
    let opened = repo
        .tmp_dir(Path::new(PARTS_DIR))
        .map_err(|error| error.to_string())
        .and_then(|dir| {
            Parts::open(dir, PartLimits::default(), now).map_err(|error| error.to_string())
        });
    opened
        .inspect_err(|error| {
            progress.note(&format!("partly fetched layers cannot be kept: {error}"));
        })
        .ok()
}

/// Where copies are kept of images that come through another program. Without a place, opening such an
/// image fails, and says so.
pub(crate) fn scratch(repo: &Repo) -> Option<Arc<OwnedFd>> {
    repo.tmp_dir(Path::new(COPIES_DIR)).ok().map(Arc::new)
}

/// Finds out whether a pull would change anything; fetches no layer.
///
/// # Errors
/// [`PullError`].
pub fn check(
    repo: &Repo,
    image: &OstreeImageReference,
    access: &Access,
    options: &PullOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Check, PullError> {
    let prepared = look(repo, image, access, options, progress, interrupt)?;
    Ok(match prepared {
        Prepared::AlreadyPresent(state) => up_to_date(image, &state),
        Prepared::Ready(plan) => available(image, &plan),
    })
}

/// What a pull would do; fetches no layer.
pub(crate) fn look(
    repo: &Repo,
    image: &OstreeImageReference,
    access: &Access,
    options: &PullOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Prepared, PullError> {
    remote_signature(repo, image, access)?;
    let mut context = access.context(&image.imgref, interrupt)?;
    context.scratch = scratch(repo);
    let source = open(&image.imgref, &context).map_err(Box::new)?;
    let options = import_options(options);
    Ok(prepare(repo, source.as_ref(), &options, progress).map_err(Box::new)?)
}

/// The keys that the commit in the image must be signed with, if its reference names a remote.
pub(crate) fn remote_signature<'a>(
    repo: &Repo,
    image: &'a OstreeImageReference,
    access: &Access,
) -> Result<Option<RemoteSignature<'a>>, RemoteSignatureError> {
    match &image.sigverify {
        SignatureSource::OstreeRemote(remote) => {
            RemoteSignature::of(repo, image, remote, access).map(Some)
        }
        _ => Ok(None),
    }
}

fn import_options(options: &PullOptions) -> ImportOptions {
    let mut choices = ImportOptions::default();
    choices.target.clone_from(&options.target);
    choices.no_imgref = options.no_imgref;
    choices.require_bootable = options.require_bootable;
    choices.skip_collection = options.skip_collection;
    choices.offline = options.offline;
    choices.policy_commit = options.policy_commit;
    choices.now = options.now;
    choices
}

fn stored_as(image: &OstreeImageReference, options: &PullOptions) -> Option<ImageReference> {
    let name = options.target.as_ref().unwrap_or(&image.imgref);
    (!options.no_imgref).then(|| name.clone())
}

fn whole(image: &OstreeImageReference, plan: &ImportPlan) -> TaskKind {
    let layers = plan.layers.len();
    let present = layers - plan.to_fetch().count();
    TaskKind::Pull {
        image: format!("{image:#}"),
        layers,
        present,
    }
}

pub(crate) fn already_present(
    image: &OstreeImageReference,
    stored_as: Option<ImageReference>,
    state: &LayeredImageState,
) -> Pulled {
    let imported = ((0, 0), 0, BTreeMap::new());
    describe(image, stored_as, state, false, imported)
}

fn fetched(
    image: &OstreeImageReference,
    stored_as: Option<ImageReference>,
    imported: Imported,
) -> Pulled {
    let what = (
        (imported.layers_fetched, imported.layers_local),
        imported.bytes_fetched,
        imported.filtered,
    );
    describe(image, stored_as, &imported.state, true, what)
}

/// Layers that were fetched and that came from other stores, bytes that were fetched, and what was not kept.
type Imports = ((usize, usize), u64, BTreeMap<String, BTreeMap<String, u32>>);

fn describe(
    image: &OstreeImageReference,
    stored_as: Option<ImageReference>,
    state: &LayeredImageState,
    changed: bool,
    ((fetched, local), bytes_fetched, filtered): Imports,
) -> Pulled {
    Pulled {
        schema: "bootroot.image-pull/1",
        changed,
        image: image.clone(),
        stored_as,
        digest: state.manifest_digest.clone(),
        version: state.version().map(str::to_owned),
        commit: state.merge_commit,
        base_commit: state.base_commit,
        layers: LayerCount {
            total: state.manifest.layers().len(),
            fetched,
            local: Some(local),
        },
        bytes_fetched,
        filtered,
    }
}

fn up_to_date(image: &OstreeImageReference, state: &LayeredImageState) -> Check {
    Check {
        schema: CHECK_SCHEMA,
        update_available: false,
        image: image.clone(),
        digest: state.manifest_digest.clone(),
        version: state.version().map(str::to_owned),
        stored_digest: Some(state.manifest_digest.clone()),
        stored_version: state.version().map(str::to_owned),
        layers: LayerCount {
            total: state.manifest.layers().len(),
            fetched: 0,
            local: None,
        },
        bytes_to_fetch: 0,
    }
}

fn available(image: &OstreeImageReference, plan: &ImportPlan) -> Check {
    let previous = plan.previous.as_deref();
    Check {
        schema: CHECK_SCHEMA,
        update_available: true,
        image: image.clone(),
        digest: plan.manifest.digest().clone(),
        version: plan.version().map(str::to_owned),
        stored_digest: previous.map(|state| state.manifest_digest.clone()),
        stored_version: previous
            .and_then(LayeredImageState::version)
            .map(str::to_owned),
        layers: LayerCount {
            total: plan.layers.len(),
            fetched: plan.to_fetch().count(),
            local: None,
        },
        bytes_to_fetch: plan.bytes_to_fetch(),
    }
}

impl Check {
    /// What is at the source, and the manifest that is stored, when no repository of OSTree has the image.
    pub(crate) fn of_manifests(
        image: &OstreeImageReference,
        digest: &Digest,
        stored: Option<Digest>,
        layers: LayerCount,
        bytes_to_fetch: u64,
    ) -> Self {
        Self {
            schema: CHECK_SCHEMA,
            update_available: stored.as_ref() != Some(digest),
            image: image.clone(),
            digest: digest.clone(),
            version: None,
            stored_digest: stored,
            stored_version: None,
            layers,
            bytes_to_fetch,
        }
    }
}

const CHECK_SCHEMA: &str = "bootroot.image-check/1";
