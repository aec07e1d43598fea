//! `bootroot ostree admin status`

mod json;

use std::io::{self, Write};

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::refs::Refspec;
use sysroot::{DeploymentStatus, Unlocked};
use trust::Policy;

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::results::Results;
use crate::verbs::ostree::signatures;

/// List deployments
#[derive(Debug, Args)]
// `-V` is taken.
#[command(disable_version_flag = true)]
pub(crate) struct Status {
    /// Answer only whether signatures of the running deployment's commit are verified
    #[arg(short = 'V', long)]
    verify: bool,
    /// Emit JSON
    #[arg(short = 'J', long)]
    json: bool,
    /// Say nothing of signatures
    #[arg(short = 'S', long)]
    skip_signatures: bool,
    /// Output "default" if booted into the default deployment, otherwise "not-default"
    #[arg(short = 'D', long)]
    is_default: bool,
}

/// Nothing is deployed.
#[derive(Debug, thiserror::Error)]
#[error("Not in a booted OSTree system")]
struct NothingBooted;

impl Classified for NothingBooted {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

/// Keys are those of a remote.
#[derive(Debug, thiserror::Error)]
#[error("Cannot verify deployment without remote")]
struct NoRemote;

impl Classified for NoRemote {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Status {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open(context)?;
        let status = system.sysroot.status()?;
        let mut out = context.results();
        if self.json {
            out.json(&json::document(system.sysroot.repo(), &status))?;
            return Ok(Exit::Done);
        }
        if self.is_default {
            let first = status.deployments.first().ok_or(NothingBooted)?;
            let word = if first.booted {
                "default"
            } else {
                "not-default"
            };
            writeln!(out, "{word}")?;
        } else if status.deployments.is_empty() {
            writeln!(out, "No deployments.")?;
        } else {
            for deployment in &status.deployments {
                print(&mut out, system.sysroot.repo(), deployment)?;
                self.print_signatures(context, &mut out, system.sysroot.repo(), deployment)?;
            }
        }
        for damaged in &status.damaged {
            writeln!(out, "! {}: {}", damaged.file, damaged.cause)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }

    /// The verdicts on the GPG signatures of what follows a remote that asks for them.
    fn print_signatures(
        &self,
        context: &Context,
        out: &mut Results,
        repo: &Repo,
        deployment: &DeploymentStatus,
    ) -> Result<(), Failure> {
        let refspec = deployment.refspec.as_deref().map(str::parse::<Refspec>);
        let remote = refspec.transpose()?.and_then(|refspec| refspec.remote);
        let Some(remote) = remote else {
            return if self.verify {
                Err(NoRemote.into())
            } else {
                Ok(())
            };
        };
        let asked = repo.remote(&remote).map(|remote| Policy::of(&remote));
        let asked = asked.transpose()?.is_some_and(|policy| policy.gpg);
        if !self.verify && (self.skip_signatures || !asked) {
            return Ok(());
        }
        let Some(metadata) = repo.load_detached_metadata(&deployment.commit)? else {
            return Ok(());
        };
        let keyring = trust::trusted_keys(repo, &remote, &context.place().key_stores()?)?;
        let data = trust::commit_bytes(repo, &deployment.commit)?;
        match signatures::verdicts(&data, &metadata, &keyring)? {
            Some(found) => signatures::show_each(&found, "    GPG: ", out),
            None => Ok(()),
        }
    }
}

fn print(out: &mut Results, repo: &Repo, deployment: &DeploymentStatus) -> io::Result<()> {
    let marker = if deployment.booted { '*' } else { ' ' };
    let DeploymentStatus {
        stateroot,
        commit,
        serial,
        ..
    } = deployment;
    writeln!(
        out,
        "{marker} {stateroot} {commit}.{serial}{}{}",
        role(deployment),
        if deployment.soft_reboot_target {
            " (soft-reboot)"
        } else {
            ""
        }
    )?;
    if let Some(version) = &deployment.version {
        writeln!(out, "    Version: {version}")?;
    }
    if deployment.unlocked != Unlocked::None {
        writeln!(out, "    Unlocked: {}", deployment.unlocked)?;
    }
    if deployment.pinned {
        writeln!(out, "    Pinned: yes")?;
    }
    match (&deployment.refspec, deployment.has_origin) {
        (_, false) => writeln!(out, "    origin: none")?,
        (Some(refspec), true) => writeln!(out, "    origin refspec: {refspec}")?,
        (None, true) => writeln!(out, "    origin: <unknown origin type>")?,
    }
    if let Some(title) = source_title(repo, deployment).filter(|_| deployment.has_origin) {
        writeln!(out, "    `- {title}")?;
    }
    for problem in &deployment.problems {
        writeln!(out, "    Problem: {}", problem.message)?;
    }
    Ok(())
}

fn role(deployment: &DeploymentStatus) -> &'static str {
    if deployment.finalization_locked {
        " (finalization locked)"
    } else if deployment.staged {
        " (staged)"
    } else if deployment.pending {
        " (pending)"
    } else if deployment.rollback {
        " (rollback)"
    } else {
        ""
    }
}

fn source_title(repo: &Repo, deployment: &DeploymentStatus) -> Option<String> {
    let commit = repo.load_commit(&deployment.commit).ok()?;
    let title = commit.metadata.get_str("ostree.source-title");
    title.map(ToOwned::to_owned)
}
