//! From a commit to an image.
//!
//! The image has the labels, annotations and layers that ostree-ext gives it, so that its tools and bootc
//! take it for one of their own. The same commit and options give the same bytes.

mod chunks;
mod content;
mod content_map;
mod directory;
mod frequencies;
mod labels;
mod packages;
mod packing;
mod paths;

use std::collections::BTreeMap;

use error_class::{Classified, ErrorClass};
use layer::{LayerOptions, ObjectSource};
use oci::platform::Platform;
use oci::sink::ImageSink;
use oci::spec::{Config, ImageConfiguration, ImageManifest};
use ostree::{ReadError, Repo};
use ostree_format::{Checksum, Commit};
use progress::{Interrupt, Progress};

pub use chunks::Chunking;
pub(crate) use content::content_of;
pub use content_map::{ContentMap, ContentMapError};
pub use directory::{DirectoryCommit, EncapsulateDirectoryError, encapsulate_directory};
pub use frequencies::{Frequencies, FrequenciesError};
pub use packages::{PackageVersions, PackagesError, package_versions};

use crate::keys::{COMPONENTS_ANNOTATION, FINAL_DIFFID_LABEL};
use crate::write_image::{Compression, ImageWriter, LayerNote, WriteImageError, WrittenImage};

/// How many layers an image has at most, if nothing is said: half of what engines can cope with.
pub const MAX_LAYERS: usize = 64;

/// Choices of an encapsulation.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EncapsulateOptions {
    /// Labels of the image; they go before those that come from the commit.
    pub labels: BTreeMap<String, String>,
    /// What a container of the image runs, instead of what the commit says.
    pub cmd: Option<Vec<String>>,
    /// The configuration of containers to start from.
    pub config: Option<Config>,
    /// Metadata of the commit that becomes labels; it must be there.
    pub copy_meta: Vec<String>,
    /// Metadata of the commit that becomes labels if it is there.
    pub copy_meta_optional: Vec<String>,
    /// Write the version also as the label `version`.
    pub legacy_version_label: bool,
    /// What the image runs on.
    pub platform: Platform,
    /// When the image was made (RFC 3339), instead of the time of the commit.
    pub created: Option<String>,
    /// How the content is cut into layers.
    pub chunking: Chunking,
    /// How often components change; those that are not named change as often as most.
    pub frequencies: Frequencies,
    /// How many layers the image has at most.
    pub max_layers: usize,
    /// An earlier image, whose layers are kept as far as possible.
    pub prior: Option<ImageManifest>,
    /// How layers are compressed.
    pub compression: Compression,
    /// How layers are written.
    pub layers: LayerOptions,
}

impl Default for EncapsulateOptions {
    fn default() -> Self {
        Self {
            labels: BTreeMap::new(),
            cmd: None,
            config: None,
            copy_meta: Vec::new(),
            copy_meta_optional: Vec::new(),
            legacy_version_label: false,
            platform: Platform::host(),
            created: None,
            chunking: Chunking::default(),
            frequencies: Frequencies::default(),
            max_layers: MAX_LAYERS,
            prior: None,
            compression: Compression::default(),
            layers: LayerOptions::default(),
        }
    }
}

/// Why a commit did not become an image. The destination shows none, though blobs may stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncapsulateError {
    /// The commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Metadata that was to be copied is not there.
    #[error("commit {commit} has no metadata {key:?} to copy")]
    NoMetadata {
        /// The commit.
        commit: Checksum,
        /// What was asked for.
        key: String,
    },
    /// Metadata has a type that no label can have.
    #[error("metadata {key:?} of commit {commit} is not a {expected}")]
    MetadataType {
        /// The commit.
        commit: Checksum,
        /// The metadata.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The time of the commit has no date.
    #[error(
        "the timestamp {0} of the commit is no time that an image can have; name one with --created"
    )]
    Timestamp(u64),
    /// A time that was given is none.
    #[error("{0:?} is not a time of the form 2024-01-02T03:04:05Z")]
    Created(String),
    /// The database of packages cannot be read.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// The image could not be written.
    #[error(transparent)]
    Write(#[from] WriteImageError),
}

impl Classified for EncapsulateError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::NoMetadata { .. } => ErrorClass::NotFound,
            Self::MetadataType { .. } | Self::Timestamp(_) | Self::Created(_) => {
                ErrorClass::InvalidInput
            }
            Self::Packages(error) => error.class(),
            Self::Write(error) => error.class(),
        }
    }
}

/// Write `commit` as an image to `sink`, under `tag` if there is one.
///
/// # Errors
/// [`EncapsulateError`].
pub fn encapsulate(
    repo: &Repo,
    checksum: &Checksum,
    sink: Box<dyn ImageSink + '_>,
    tag: Option<&str>,
    options: &EncapsulateOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, EncapsulateError> {
    let writing = Writing {
        sink,
        tag,
        progress,
        interrupt,
    };
    write(repo, checksum, options, writing)
}

/// Where an image goes, and who is told.
struct Writing<'a> {
    sink: Box<dyn ImageSink + 'a>,
    tag: Option<&'a str>,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
}

/// Write a commit whose objects `source` has.
fn write(
    source: &dyn ObjectSource,
    checksum: &Checksum,
    options: &EncapsulateOptions,
    writing: Writing<'_>,
) -> Result<WrittenImage, EncapsulateError> {
    let commit = source.commit(checksum)?;
    // All that can be wrong with options is found before anything is written.
    let mut labels = labels::labels_of(checksum, &commit, options)?;
    let created = created(&commit, options)?;
    let mut config = config(checksum, &commit, options)?;
    config.set_created(Some(created.clone()));
    let mut content = content_of(source, &commit.contents)?;
    let total = content.values().map(|placed| placed.size).sum();
    let max = options.max_layers.saturating_sub(1);
    let components = chunks::components(source, &commit.contents, &content, options)?;
    let prior = options.prior.as_ref();
    let chunks = chunks::split(&mut content, components, prior, max);
    let Writing {
        sink,
        tag,
        progress,
        interrupt,
    } = writing;
    let mut image = ImageWriter::new(sink, options.compression, total, progress, interrupt);
    let note = LayerNote::new(Some(&created), &description(checksum, &commit));
    image.layer(note, |out, interrupt| {
        layer::write_commit(source, checksum, &content, options.layers, out, interrupt)
    })?;
    for chunk in chunks {
        let note = LayerNote::new(Some(&created), &chunk.title);
        let note = note.annotated(COMPONENTS_ANNOTATION, chunk.annotation());
        image.layer(note, |out, interrupt| {
            layer::write_chunk(source, &chunk.content, options.layers, out, interrupt)
        })?;
    }
    if let Some(last) = image.diff_ids().pop() {
        labels.insert(FINAL_DIFFID_LABEL.to_owned(), last);
    }
    let container = config.config().clone().unwrap_or_default();
    config.set_config(Some(with_labels(container, &labels)));
    Ok(image.finish(config, labels.into_iter().collect(), tag)?)
}

fn description(checksum: &Checksum, commit: &Commit) -> String {
    if commit.subject.is_empty() {
        format!("ostree export of commit {checksum}")
    } else {
        commit.subject.clone()
    }
}

fn created(commit: &Commit, options: &EncapsulateOptions) -> Result<String, EncapsulateError> {
    let mapped = match &options.chunking {
        Chunking::Map(map) => map.created.as_ref(),
        Chunking::Single | Chunking::Paths | Chunking::Packages => None,
    };
    if let Some(text) = options.created.as_ref().or(mapped) {
        let valid = chrono::DateTime::parse_from_rfc3339(text).is_ok();
        let wrong = || EncapsulateError::Created(text.clone());
        return valid.then(|| text.clone()).ok_or_else(wrong);
    }
    let wrong = EncapsulateError::Timestamp(commit.timestamp);
    let time = i64::try_from(commit.timestamp).ok();
    let time = time.and_then(|time| chrono::DateTime::from_timestamp(time, 0));
    let time = time.ok_or(wrong)?;
    Ok(time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn config(
    checksum: &Checksum,
    commit: &Commit,
    options: &EncapsulateOptions,
) -> Result<ImageConfiguration, EncapsulateError> {
    let mut config = ImageConfiguration::default();
    config.set_architecture(options.platform.architecture.as_str().into());
    config.set_os(options.platform.os.as_str().into());
    config.set_variant(options.platform.variant.clone());
    config.set_history(None);
    let mut container = options.config.clone().unwrap_or_default();
    let cmd = match &options.cmd {
        Some(cmd) => Some(cmd.clone()),
        None => labels::cmd_of(checksum, commit)?,
    };
    if cmd.is_some() {
        container.set_cmd(cmd);
    }
    config.set_config(Some(container));
    Ok(config)
}

fn with_labels(mut container: Config, labels: &BTreeMap<String, String>) -> Config {
    let mut all = container.labels().clone().unwrap_or_default();
    all.extend(labels.clone());
    container.set_labels(Some(all));
    container
}
