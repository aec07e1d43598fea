//! `container encapsulate`

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use image::{Chunking, ContentMap, EncapsulateOptions, MAX_LAYERS};
use oci::platform::Platform;
use oci::reference::{ImageReference, OstreeImageReference};

use crate::context::Context;
use crate::outcome::{Exit, Failure, Hinted};
use crate::verbs::container::CompressionOptions;
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Wrap a commit into a container image
///
/// The image has one layer, unless --contentmeta or --chunked cuts it into several. The same commit and
/// options give the same image, byte for byte.
#[derive(Debug, Args)]
#[command(alias = "export")]
pub(crate) struct Encapsulate {
    /// The ref or commit
    rev: String,
    /// Where to write the image, as in oci:/srv/image:tag or oci-archive:image.tar
    #[arg(value_name = "IMGREF", value_parser = reference::stored)]
    image: ImageReference,
    /// Add a label
    #[arg(long = "label", short, value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// Start from this container configuration, the `config` member of an OCI image configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Copy this metadata of the commit into a label; it must be there
    #[arg(long = "copymeta", value_name = "KEY")]
    copy_meta: Vec<String>,
    /// Copy this metadata of the commit into a label if it is there
    #[arg(long = "copymeta-opt", value_name = "KEY")]
    copy_meta_optional: Vec<String>,
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
    created: Option<String>,
    /// Cut the content into layers by the directories that files are in
    #[arg(long, conflicts_with = "contentmeta")]
    chunked: bool,
    /// Cut the content into layers by this map of objects to components
    #[arg(long, value_name = "FILE")]
    contentmeta: Option<PathBuf>,
    /// Make at most N layers
    #[arg(long, value_name = "N", default_value_t = MAX_LAYERS)]
    max_layers: usize,
    /// Keep the layers of this earlier image as far as possible
    #[arg(long, value_name = "IMGREF", value_parser = reference::image)]
    previous: Option<OstreeImageReference>,
    #[command(flatten)]
    compression: CompressionOptions,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
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

impl Encapsulate {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let access = self.source.access()?;
        let options = self.options(context)?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let image = host::encapsulate(
            &repo,
            &self.rev,
            &self.image,
            &access,
            &options,
            progress,
            interrupt,
        )?;
        let out = context.results();
        if self.json {
            out.json(&image)?;
        } else {
            out.all(format!("{}\n", image.digest).as_bytes())?;
        }
        Ok(Exit::Done)
    }

    fn options(&self, context: &Context) -> Result<EncapsulateOptions, Failure> {
        let mut options = EncapsulateOptions::default();
        options.labels = self.labels.iter().cloned().collect::<BTreeMap<_, _>>();
        options.cmd.clone_from(&self.cmd);
        options.copy_meta.clone_from(&self.copy_meta);
        options
            .copy_meta_optional
            .clone_from(&self.copy_meta_optional);
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
        if let Some(path) = &self.contentmeta {
            options.chunking = Chunking::Map(ContentMap::from_json(&read(path)?)?);
        } else if self.chunked {
            options.chunking = Chunking::Paths;
        }
        if let Some(image) = &self.previous {
            let manifest = host::fetch_manifest(image, &self.source.access()?, context.interrupt());
            options.prior = Some(manifest?.manifest);
        }
        Ok(options)
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
