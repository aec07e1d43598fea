//! What osbuild hands to a stage.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use error_class::{Classified, ErrorClass};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::commits::Commits;

/// The arguments of a stage with the options `O`.
#[derive(Debug, Clone, Deserialize)]
pub struct Arguments<O> {
    /// The tree that the stage works on.
    pub tree: PathBuf,
    /// What comes from elsewhere, by the name that the pipeline gives it.
    #[serde(default = "BTreeMap::new")]
    pub inputs: BTreeMap<String, Input>,
    /// The options.
    pub options: O,
}

/// Something that comes from elsewhere.
#[derive(Debug, Clone, Deserialize)]
pub struct Input {
    /// The directory that holds it.
    pub path: PathBuf,
    /// What it is.
    #[serde(default)]
    pub data: InputData,
}

/// What an input is.
#[derive(Debug, Clone, Default, Deserialize)]
#[non_exhaustive]
pub struct InputData {
    /// The commits of an input of the kind `org.osbuild.ostree`.
    #[serde(default)]
    pub refs: Commits,
}

/// The arguments are not those of the stage.
#[derive(Debug, thiserror::Error)]
#[error("the arguments of the stage are not valid")]
pub struct InvalidArguments(#[from] pub(crate) serde_json::Error);

impl Classified for InvalidArguments {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl<O: DeserializeOwned> Arguments<O> {
    /// Parse the JSON document that osbuild leaves for a stage.
    ///
    /// # Errors
    /// [`InvalidArguments`] names the option that is unknown, missing or of another type.
    pub fn from_json(document: &[u8]) -> Result<Self, InvalidArguments> {
        Ok(serde_json::from_slice(document)?)
    }
}

/// A path of the options, below the tree; none when it leads out of it.
pub(crate) fn below(tree: &Path, path: &str) -> Option<PathBuf> {
    let relative = Path::new(path.trim_start_matches('/'));
    let plain = |part| matches!(part, Component::Normal(_));
    relative
        .components()
        .all(plain)
        .then(|| tree.join(relative))
}
