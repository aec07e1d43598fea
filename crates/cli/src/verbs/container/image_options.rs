//! What `container encapsulate` and `container encapsulate-directory` are both told about an image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use image::{Chunking, ContentMap, EncapsulateOptions, Frequencies, MAX_LAYERS};
use oci::platform::Platform;
use oci::reference::OstreeImageReference;

use crate::context::Context;
use crate::outcome::{Failure, Hinted};
use crate::verbs::container::CompressionOptions;
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// How an image is made.
#[derive(Debug, Args)]
pub(super) struct ImageOptions {
    /// Add a label
    #[arg(long = "label", short, value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Start from this container configuration, the `config` member of an OCI image configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What a container of the image runs; once for each word
    #[arg(long, value_name = "WORD")]
    cmd: Option<Vec<String>>,
    /// Write the version also as the label `version`
    #[arg(long)]
    legacy_version_label: bool,
    /// What the image is for, as in linux/arm64 [default: this machine]
    #[arg(long, value_name = "OS/ARCH", value_parser = platform)]
    platform: Option<Platform>,
    /// When the image was made, as in 2024-01-02T03:04:05Z [default: the time of the commit]
    #[arg(long, value_name = "TIME")]
    pub(super) created: Option<String>,
    /// Cut the content into layers by the directories that files are in
    #[arg(long, group = "cut")]
    chunked: bool,
    /// Cut the content into layers by source packages, as dpkg's or RPM's database in the tree has them
    #[arg(long, group = "cut")]
    chunked_by_package: bool,
    /// Cut the content into layers by this map of objects to components
    #[arg(long, group = "cut", value_name = "FILE")]
    contentmeta: Option<PathBuf>,
    /// Keep apart what changes often and what does not, as this list of components says, which
    /// `rpm-ostree compose container-encapsulate --write-contentmeta-json` writes
    #[arg(long, value_name = "FILE", requires = "cut")]
    change_frequencies: Option<PathBuf>,
    /// Make at most N layers
    #[arg(long, value_name = "N", default_value_t = MAX_LAYERS)]
    max_layers: usize,
    /// Keep the layers of this earlier image as far as possible
    #[arg(long, value_name = "IMGREF", value_parser = reference::image)]
    previous: Option<OstreeImageReference>,
    #[command(flatten)]
    compression: CompressionOptions,
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or("KEY=VALUE is expected")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn platform(text: &str) -> Result<Platform, String> {
    let parsed = text.parse();
    parsed.map_err(|error: oci::platform::PlatformParseError| error.to_string())
}

impl ImageOptions {
    pub(super) fn choices(
        &self,
        source: &SourceOptions,
        context: &Context,
    ) -> Result<EncapsulateOptions, Failure> {
        let mut options = EncapsulateOptions::default();
        options.labels = self.labels.iter().cloned().collect::<BTreeMap<_, _>>();
        options.cmd.clone_from(&self.cmd);
        options.legacy_version_label = self.legacy_version_label;
        options.created.clone_from(&self.created);
        options.max_layers = self.max_layers;
        options.compression = self.compression.choice();
        if let Some(platform) = &self.platform {
            options.platform = platform.clone();
        }
        if let Some(path) = &self.config {
            options.config = Some(parsed(path)?);
        }
        options.chunking = self.chunking()?;
        if let Some(path) = &self.change_frequencies {
            options.frequencies = Frequencies::from_json(&read(path)?)?;
        }
        if let Some(image) = &self.previous {
            let manifest = host::fetch_manifest(image, &source.access()?, context.interrupt());
            options.prior = Some(manifest?.manifest);
        }
        Ok(options)
    }

    fn chunking(&self) -> Result<Chunking, Failure> {
        Ok(match &self.contentmeta {
            Some(path) => Chunking::Map(ContentMap::from_json(&read(path)?)?),
            None if self.chunked_by_package => Chunking::Packages,
            None if self.chunked => Chunking::Paths,
            None => Chunking::Single,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = fs::read(path);
    Ok(read.map_err(|source| Unreadable::Read {
        path: path.to_owned(),
        source,
    })?)
}

fn parsed(path: &Path) -> Result<oci::spec::Config, Failure> {
    let parsed = serde_json::from_slice(&read(path)?);
    let parsed = parsed.map_err(|source| Unreadable::Json {
        path: path.to_owned(),
        source,
    });
    parsed.hint("it must hold the `config` member of an OCI image configuration")
}

/// A file that an option names is of no use.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is no container configuration", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
}

impl error_class::Classified for Unreadable {
    fn class(&self) -> error_class::ErrorClass {
        match self {
            Self::Read { source, .. } => source.class(),
            Self::Json { .. } => error_class::ErrorClass::InvalidInput,
        }
    }
}
