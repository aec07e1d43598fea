//! The options and inputs of `org.osbuild.ostree.deploy`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use error_class::{Classified, ErrorClass};
use serde::Deserialize;

use crate::arguments::{Arguments, Input, below};

/// The name of the stage.
pub const DEPLOY_STAGE: &str = "org.osbuild.ostree.deploy";

/// The one input that the stage takes.
const COMMITS: &str = "commits";

/// The options of the stage.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DeployOptions {
    /// The stateroot.
    pub osname: String,
    /// Mount points of the final file system, below the tree.
    #[serde(default)]
    pub mounts: Vec<String>,
    /// Kernel arguments that are added.
    #[serde(default)]
    pub kernel_opts: Vec<String>,
    /// What is deployed, unless it comes as an input.
    pub r#ref: Option<String>,
    /// The remote that the deployment follows.
    pub remote: Option<String>,
    /// Where the root file system is found at boot.
    pub rootfs: Option<RootFs>,
}

/// How the root file system is found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub enum RootFs {
    /// By its UUID.
    Uuid(String),
    /// By its label.
    Label(String),
}

impl TryFrom<BTreeMap<String, String>> for RootFs {
    type Error = &'static str;

    fn try_from(mut given: BTreeMap<String, String>) -> Result<Self, Self::Error> {
        match (given.remove("uuid"), given.remove("label"), given.len()) {
            (Some(uuid), None, 0) if !uuid.is_empty() => Ok(Self::Uuid(uuid)),
            (None, Some(label), 0) if !label.is_empty() => Ok(Self::Label(label)),
            _ => Err("option rootfs: give either uuid or label, and nothing else"),
        }
    }
}

impl RootFs {
    /// The kernel argument.
    #[must_use]
    pub fn kernel_argument(&self) -> String {
        match self {
            Self::Uuid(uuid) => format!("root=UUID={uuid}"),
            Self::Label(label) => format!("root=LABEL={label}"),
        }
    }
}

/// What the stage is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeployStage {
    /// The physical root.
    pub tree: PathBuf,
    /// The stateroot.
    pub stateroot: String,
    /// Mount points below the physical root, in the order in which they are mounted.
    pub mounts: Vec<PathBuf>,
    /// Kernel arguments that are added.
    pub kernel_arguments: Vec<String>,
    /// The remote that the deployment follows.
    pub remote: Option<String>,
    /// Where what is deployed comes from.
    pub source: DeploySource,
}

/// Where what is deployed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploySource {
    /// It is in the repository of the tree, under this ref or checksum.
    Stored(String),
    /// It is pulled from another repository first.
    Input {
        /// That repository.
        repository: PathBuf,
        /// What is pulled, in this order; the last is deployed.
        revisions: Vec<String>,
    },
}

impl DeploySource {
    /// What is deployed, as it is called in its repository.
    #[must_use]
    pub fn revision(&self) -> &str {
        match self {
            Self::Stored(revision) => revision,
            Self::Input { revisions, .. } => revisions.last().map_or("", String::as_str),
        }
    }
}

/// The options are valid each, but not together or not with the inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDeployStage {
    /// More than one input.
    #[error("only one input is accepted, commits; there are {0}")]
    Inputs(usize),
    /// An input of another name.
    #[error("the input is called {0}; the stage takes commits")]
    InputName(String),
    /// Neither.
    #[error("nothing to deploy: set option ref, or give the input commits")]
    NoRevision,
    /// Both.
    #[error("option ref excludes the input commits: remove one of them")]
    RefAndInput,
    /// The input holds no commit.
    #[error("the input commits holds no commit")]
    NoCommits,
    /// A mount point that leads out of the tree.
    #[error("option mounts: {0} leads out of the tree")]
    Mount(String),
}

impl Classified for InvalidDeployStage {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl DeployStage {
    /// What valid arguments ask for. Nothing is read or written.
    ///
    /// # Errors
    /// [`InvalidDeployStage`] names the option or input.
    pub fn new(arguments: Arguments<DeployOptions>) -> Result<Self, InvalidDeployStage> {
        let Arguments {
            tree,
            inputs,
            options,
        } = arguments;
        let mounts = options
            .mounts
            .into_iter()
            .map(|mount| below(&tree, &mount).ok_or(InvalidDeployStage::Mount(mount)));
        let mut kernel_arguments = options.kernel_opts;
        kernel_arguments.extend(options.rootfs.as_ref().map(RootFs::kernel_argument));
        Ok(Self {
            mounts: mounts.collect::<Result<_, _>>()?,
            source: source(inputs, options.r#ref)?,
            stateroot: options.osname,
            remote: options.remote,
            kernel_arguments,
            tree,
        })
    }
}

fn source(
    inputs: BTreeMap<String, Input>,
    revision: Option<String>,
) -> Result<DeploySource, InvalidDeployStage> {
    let revision = revision.filter(|revision| !revision.is_empty());
    if inputs.len() > 1 {
        return Err(InvalidDeployStage::Inputs(inputs.len()));
    }
    match (inputs.into_iter().next(), revision) {
        (None, None) => Err(InvalidDeployStage::NoRevision),
        (None, Some(revision)) => Ok(DeploySource::Stored(revision)),
        (Some(_), Some(_)) => Err(InvalidDeployStage::RefAndInput),
        (Some((name, input)), None) if name == COMMITS => from_input(input),
        (Some((name, _)), None) => Err(InvalidDeployStage::InputName(name)),
    }
}

fn from_input(input: Input) -> Result<DeploySource, InvalidDeployStage> {
    let revisions = input.data.refs.into_revisions();
    if revisions.is_empty() {
        return Err(InvalidDeployStage::NoCommits);
    }
    Ok(DeploySource::Input {
        repository: input.path,
        revisions,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn stage(options: &str, inputs: &str) -> Result<DeployStage, String> {
        let document = format!(r#"{{"tree":"/tree","inputs":{inputs},"options":{options}}}"#);
        let arguments =
            Arguments::from_json(document.as_bytes()).map_err(|error| error.0.to_string())?;
        DeployStage::new(arguments).map_err(|error| error.to_string())
    }

    const INPUT: &str =
        r#"{"commits":{"path":"/run/repo","data":{"refs":{"b1":{"ref":"os/x"},"a2":{}}}}}"#;

    #[test]
    fn a_ref_with_all_options() {
        let options = r#"{"osname":"os","ref":"os/x","remote":"origin","mounts":["/boot","/boot/efi"],
            "kernel_opts":["rw","quiet"],"rootfs":{"label":"root"}}"#;
        let stage = stage(options, "{}").unwrap();
        assert_eq!(stage.stateroot, "os");
        assert_eq!(stage.source, DeploySource::Stored("os/x".into()));
        assert_eq!(stage.remote.as_deref(), Some("origin"));
        assert_eq!(
            stage.mounts,
            [Path::new("/tree/boot"), Path::new("/tree/boot/efi")]
        );
        assert_eq!(stage.kernel_arguments, ["rw", "quiet", "root=LABEL=root"]);
    }

    #[test]
    fn the_last_commit_of_the_input_is_deployed() {
        let stage = stage(r#"{"osname":"os"}"#, INPUT).unwrap();
        assert_eq!(stage.source.revision(), "a2");
        let DeploySource::Input { revisions, .. } = stage.source else {
            panic!("not an input");
        };
        assert_eq!(revisions, ["os/x", "a2"]);
    }

    #[test]
    fn what_is_wrong_names_the_option() {
        let wrong = [
            ("{}", "{}", "missing field `osname`"),
            (
                r#"{"osname":"os","kopts":[]}"#,
                "{}",
                "unknown field `kopts`",
            ),
            (r#"{"osname":"os"}"#, "{}", "set option ref"),
            (r#"{"osname":"os","ref":"x"}"#, INPUT, "option ref excludes"),
            (
                r#"{"osname":"os","ref":"x","rootfs":{"uuid":"1","label":"2"}}"#,
                "{}",
                "option rootfs",
            ),
            (
                r#"{"osname":"os","ref":"x","mounts":["/../boot"]}"#,
                "{}",
                "option mounts: /../boot",
            ),
            (
                r#"{"osname":"os"}"#,
                r#"{"a":{"path":"/"},"b":{"path":"/"}}"#,
                "only one input",
            ),
            (r#"{"osname":"os"}"#, r#"{"a":{"path":"/"}}"#, "called a"),
            (
                r#"{"osname":"os"}"#,
                r#"{"commits":{"path":"/","data":{"refs":{}}}}"#,
                "holds no commit",
            ),
        ];
        for (options, inputs, expected) in wrong {
            let message = stage(options, inputs).unwrap_err();
            assert!(message.contains(expected), "{message}: not {expected}");
        }
    }
}
