//! `bootroot osbuild`: what osbuild calls as a stage.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use error_class::{Classified, ErrorClass};
use host::{ChangeOptions, DeployedRevision, Revision};
use osbuild::{Arguments, DeploySource, DeployStage, Mounts};
use ostree::{PullLocalOptions, Repo};
use rustix::fs::CWD;
use serde_json::json;
use sysroot::{InvalidStateroot, StaterootName, Sysroot};

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::Place;

/// Work as a stage of osbuild
#[derive(Debug, Subcommand)]
pub(crate) enum Osbuild {
    OstreeDeploy(OstreeDeploy),
}

impl Osbuild {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::OstreeDeploy(stage) => stage.run(context),
        }
    }
}

/// The stage org.osbuild.ostree.deploy: deploy a commit into the tree
///
/// A program called org.osbuild.ostree.deploy does this.
#[derive(Debug, Args)]
pub(crate) struct OstreeDeploy {
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

/// The option `osname` is not the name of a stateroot.
#[derive(Debug, thiserror::Error)]
#[error("option osname")]
struct OsName(#[source] InvalidStateroot);

impl Classified for OsName {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl OstreeDeploy {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let document = std::fs::read(&self.arguments)
            .map_err(|source| failed("read", &self.arguments, source))?;
        let stage = DeployStage::new(Arguments::from_json(&document)?)?;
        let mounts = Mounts::new(&stage.mounts)?;
        let deployed = deploy(&stage, context)?;
        drop(mounts);
        self.tell(&deployed)?;
        let mut out = context.results();
        let DeployedRevision {
            stateroot,
            commit,
            serial,
            ..
        } = &deployed;
        writeln!(out, "deployed {stateroot} {commit}.{serial}")?;
        out.finish()?;
        Ok(Exit::Done)
    }

    /// Metadata of the stage: what was deployed. Without osbuild around there is nobody to tell.
    fn tell(&self, deployed: &DeployedRevision) -> Result<(), Failure> {
        if !self.metadata.exists() {
            return Ok(());
        }
        let text = json!({ "ostree": { "deployment": deployed } }).to_string();
        std::fs::write(&self.metadata, text)
            .map_err(|source| failed("write", &self.metadata, source).into())
    }
}

fn failed(verb: &'static str, path: &Path, source: std::io::Error) -> StageFileError {
    StageFileError {
        verb,
        path: path.to_owned(),
        source,
    }
}

fn deploy(stage: &DeployStage, context: &Context) -> Result<DeployedRevision, Failure> {
    let stateroot: StaterootName = stage.stateroot.parse().map_err(OsName)?;
    let sysroot = Place::Sysroot(stage.tree.clone()).open()?.sysroot()?;
    bring(stage, &sysroot, context)?;
    let name = stage.source.revision();
    let refspec = match &stage.remote {
        Some(remote) => format!("{remote}:{name}"),
        None => name.to_owned(),
    };
    let revision = Revision {
        stateroot,
        commit: sysroot.repo().resolve(&refspec)?,
        refspec,
        append: stage.kernel_arguments.clone(),
    };
    let options = ChangeOptions::default();
    let (progress, interrupt) = (context.progress(), context.interrupt());
    Ok(host::deploy_revision(
        &sysroot, &revision, &options, progress, interrupt,
    )?)
}

/// Brings the commits of an input into the repository of the tree.
fn bring(stage: &DeployStage, sysroot: &Sysroot, context: &Context) -> Result<(), Failure> {
    let DeploySource::Input {
        repository,
        revisions,
    } = &stage.source
    else {
        return Ok(());
    };
    let source = Repo::open_at(CWD, repository)?;
    let options = PullLocalOptions {
        remote: stage.remote.clone(),
        ..PullLocalOptions::default()
    };
    let (progress, interrupt) = (context.progress(), context.interrupt());
    sysroot
        .repo()
        .pull_local(&source, revisions, &options, progress, interrupt)?;
    Ok(())
}
