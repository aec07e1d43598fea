//! The stage `org.osbuild.ostree.deploy`.

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use host::{ChangeOptions, DeployedRevision, Revision};
use osbuild::{DeploySource, DeployStage, Mounts};
use ostree::{PullLocalOptions, Repo};
use rustix::fs::CWD;
use sysroot::{InvalidStateroot, StaterootName, Sysroot};

use super::StageFiles;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::Place;

/// The stage org.osbuild.ostree.deploy: deploy a commit into the tree
///
/// A program called org.osbuild.ostree.deploy does this.
#[derive(Debug, Args)]
pub(crate) struct OstreeDeploy {
    #[command(flatten)]
    files: StageFiles,
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
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let stage = DeployStage::new(self.files.arguments()?)?;
        let mounts = Mounts::new(&stage.mounts)?;
        let deployed = deploy(&stage, context)?;
        drop(mounts);
        self.files.tell("deployment", &deployed)?;
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
