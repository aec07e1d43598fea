//! `bootroot osbuild`: what osbuild calls as a stage.

mod deploy;
mod encapsulate;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use error_class::{Classified, ErrorClass};
use osbuild::Arguments;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Work as a stage of osbuild
#[derive(Debug, Subcommand)]
pub(crate) enum Osbuild {
    OstreeDeploy(deploy::OstreeDeploy),
    OstreeEncapsulate(encapsulate::OstreeEncapsulate),
}

impl Osbuild {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::OstreeDeploy(stage) => stage.run(context),
            Self::OstreeEncapsulate(stage) => stage.run(context),
        }
    }
}

/// Where a stage and osbuild leave what they have to tell each other.
#[derive(Debug, Args)]
struct StageFiles {
    /// Where osbuild leaves the arguments of the stage
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/run/osbuild/api/arguments"
    )]
    arguments: PathBuf,
    /// Where osbuild looks for what the stage has to tell
    #[arg(long, value_name = "FILE", default_value = "/run/osbuild/meta")]
    metadata: PathBuf,
}

impl StageFiles {
    fn arguments<O: DeserializeOwned>(&self) -> Result<Arguments<O>, Failure> {
        let document = std::fs::read(&self.arguments)
            .map_err(|source| failed("read", &self.arguments, source))?;
        Ok(Arguments::from_json(&document)?)
    }

    /// Metadata of the stage: what came out of it. Without osbuild around there is nobody to tell.
    fn tell(&self, what: &str, value: &impl Serialize) -> Result<(), Failure> {
        if !self.metadata.exists() {
            return Ok(());
        }
        let text = json!({ "ostree": { what: value } }).to_string();
        std::fs::write(&self.metadata, text)
            .map_err(|source| failed("write", &self.metadata, source).into())
    }
}

/// A file of osbuild cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
struct StageFileError {
    verb: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

impl Classified for StageFileError {
    fn class(&self) -> ErrorClass {
        self.source.class()
    }
}

fn failed(verb: &'static str, path: &Path, source: std::io::Error) -> StageFileError {
    StageFileError {
        verb,
        path: path.to_owned(),
        source,
    }
}
