//! The options and the input of `org.osbuild.ostree.encapsulate`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

use crate::arguments::{Arguments, below};

/// The name of the stage.
pub const ENCAPSULATE_STAGE: &str = "org.osbuild.ostree.encapsulate";

/// The one input that the stage takes.
const COMMIT: &str = "commit";

/// The only format of layers that there is today.
const FORMAT: u32 = 1;

/// The options of the stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EncapsulateOptions {
    /// The archive that is written, below the tree.
    pub filename: String,
    /// What a container of the image runs.
    #[serde(default)]
    pub cmd: Vec<String>,
    /// Metadata of the commit that become labels.
    #[serde(default)]
    pub copymeta: Vec<String>,
    /// The format of the layers.
    pub format_version: Option<u32>,
    /// Labels, as `KEY=VALUE`.
    #[serde(default)]
    pub labels: Vec<String>,
    /// How many layers there may be.
    pub max_layers: Option<NonZeroUsize>,
}

/// What the stage is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncapsulateStage {
    /// The repository of the input.
    pub repository: PathBuf,
    /// The commit there.
    pub revision: String,
    /// The OCI archive to write.
    pub archive: PathBuf,
    /// What a container of the image runs.
    pub cmd: Option<Vec<String>>,
    /// Metadata of the commit that become labels.
    pub copy_meta: Vec<String>,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// How many layers there may be.
    pub max_layers: Option<NonZeroUsize>,
}

/// The options are valid each, but not all of them can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEncapsulateStage {
    /// Not the one input.
    #[error("exactly one input is needed, commit")]
    Input,
    /// Not the one commit.
    #[error("the input commit must hold exactly one commit; there are {0}")]
    Commits(usize),
    /// A file that would be outside of the tree.
    #[error("option filename: {0} leads out of the tree")]
    FileName(String),
    /// Not a pair.
    #[error("option labels: {0} is not KEY=VALUE")]
    Label(String),
    /// A format that is not written.
    #[error("option format_version: only 1 is written, not {0}")]
    Format(u32),
}

impl Classified for InvalidEncapsulateStage {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl EncapsulateStage {
    /// What valid arguments ask for. Nothing is read or written.
    ///
    /// # Errors
    /// [`InvalidEncapsulateStage`] names the option or input.
    pub fn new(arguments: Arguments<EncapsulateOptions>) -> Result<Self, InvalidEncapsulateStage> {
        let Arguments {
            tree,
            mut inputs,
            options,
        } = arguments;
        let input = inputs.remove(COMMIT).filter(|_| inputs.is_empty());
        let input = input.ok_or(InvalidEncapsulateStage::Input)?;
        let mut revisions = input.data.refs.into_revisions();
        let count = revisions.len();
        let revision = revisions.pop().filter(|_| count == 1);
        let unknown = options.format_version.filter(|version| *version != FORMAT);
        if let Some(version) = unknown {
            return Err(InvalidEncapsulateStage::Format(version));
        }
        let name = options.filename.trim_matches('/');
        let archive = below(&tree, name).filter(|_| !name.is_empty());
        let labels = options.labels.into_iter().map(label);
        Ok(Self {
            repository: input.path,
            revision: revision.ok_or(InvalidEncapsulateStage::Commits(count))?,
            archive: archive.ok_or(InvalidEncapsulateStage::FileName(options.filename))?,
            cmd: Some(options.cmd).filter(|words| !words.is_empty()),
            copy_meta: options.copymeta,
            labels: labels.collect::<Result<_, _>>()?,
            max_layers: options.max_layers,
        })
    }
}

fn label(text: String) -> Result<(String, String), InvalidEncapsulateStage> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(InvalidEncapsulateStage::Label(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: &str = r#"{"commit":{"path":"/run/repo","data":{"refs":{"b1":{}}}}}"#;

    fn stage(options: &str, inputs: &str) -> Result<EncapsulateStage, String> {
        let document = format!(r#"{{"tree":"/tree","inputs":{inputs},"options":{options}}}"#);
        let arguments =
            Arguments::from_json(document.as_bytes()).map_err(|error| error.0.to_string())?;
        EncapsulateStage::new(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn all_options() {
        let options = r#"{"filename":"/out/os.ociarchive","cmd":["/bin/bash","-l"],"copymeta":["version"],
            "format_version":1,"labels":["a=b=c","d="],"max_layers":3}"#;
        let stage = stage(options, INPUT).unwrap();
        assert_eq!(stage.repository.to_str(), Some("/run/repo"));
        assert_eq!(stage.revision, "b1");
        assert_eq!(stage.archive.to_str(), Some("/tree/out/os.ociarchive"));
        assert_eq!(stage.cmd, Some(vec!["/bin/bash".into(), "-l".into()]));
        assert_eq!(stage.copy_meta, ["version"]);
        let labels = [("a", "b=c"), ("d", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(stage.labels, labels);
        assert_eq!(stage.max_layers, NonZeroUsize::new(3));
    }

    #[test]
    fn mistakes_name_the_option() {
        let two = r#"{"commit":{"path":"/r","data":{"refs":{"a":{},"b":{}}}}}"#;
        let more = r#"{"commit":{"path":"/r","data":{"refs":{"a":{}}}},"x":{"path":"/r"}}"#;
        for (options, inputs, expected) in [
            (r"{}", INPUT, "filename"),
            (r#"{"filename":"a","x":1}"#, INPUT, "unknown field `x`"),
            (r#"{"filename":"a"}"#, "{}", "exactly one input"),
            (r#"{"filename":"a"}"#, more, "exactly one input"),
            (r#"{"filename":"a"}"#, two, "there are 2"),
            (r#"{"filename":"../a"}"#, INPUT, "option filename: ../a"),
            (r#"{"filename":""}"#, INPUT, "option filename"),
            (
                r#"{"filename":"a","labels":["x"]}"#,
                INPUT,
                "option labels: x",
            ),
            (r#"{"filename":"a","max_layers":0}"#, INPUT, "nonzero"),
            (
                r#"{"filename":"a","format_version":0}"#,
                INPUT,
                "option format_version",
            ),
        ] {
            let said = stage(options, inputs).unwrap_err();
            assert!(said.contains(expected), "{options}: {said}");
        }
    }
}
