//! `bootroot ostree remote`

mod add;

use std::io::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use error_class::{Classified, ErrorClass};
use ostree::{Remote, RemoteError, Repo};
use rustix::fs::CWD;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Remotes of the repository
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteVerb {
    Add(Box<add::Add>),
    Delete(Delete),
    List(List),
    Refs(Named),
    ShowUrl(ShowUrl),
}

/// Delete a remote repository
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Do nothing if there is no such remote
    #[arg(long)]
    if_exists: bool,
    /// The remote
    name: String,
}

/// List remote repository names
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Show remote URLs in list
    #[arg(short = 'u', long)]
    show_urls: bool,
}

/// List refs of a remote on this machine (`file://`)
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The remote
    name: String,
}

/// Show remote repository URL
#[derive(Debug, Args)]
pub(crate) struct ShowUrl {
    /// The remote
    name: String,
}

/// What a remote cannot tell.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("No \"url\" option in remote \"{0}\"")]
    NoUrl(String),
    #[error("Remote refs not available; server has no summary file")]
    NoSummary,
    #[error("cannot ask {0}: only file:// is supported")]
    NotLocal(String),
}

impl Classified for AskError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoUrl(_) | Self::NoSummary => ErrorClass::NotFound,
            Self::NotLocal(_) => ErrorClass::Unsupported,
        }
    }
}

impl RemoteVerb {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = context.place().open_repository()?;
        match self {
            Self::Add(verb) => verb.run(&mut repo)?,
            Self::Delete(verb) => verb.run(&mut repo)?,
            Self::List(verb) => verb.run(context, &repo)?,
            Self::Refs(verb) => list_refs(context, &repo, &verb.name)?,
            Self::ShowUrl(verb) => {
                let mut out = context.results();
                writeln!(out, "{}", url(&find(&repo, &verb.name)?)?)?;
                out.finish()?;
            }
        }
        Ok(Exit::Done)
    }
}

impl Delete {
    fn run(self, repo: &mut Repo) -> Result<(), Failure> {
        match repo.delete_remote(&self.name) {
            Err(RemoteError::NotFound(_)) if self.if_exists => Ok(()),
            other => Ok(other?),
        }
    }
}

impl List {
    fn run(self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let mut remotes = repo.remotes();
        remotes.sort_by(|a, b| a.name.cmp(&b.name));
        let width = remotes.iter().map(|remote| remote.name.len()).max();
        let width = width.unwrap_or_default();
        let mut out = context.results();
        for remote in &remotes {
            if self.show_urls {
                writeln!(out, "{:<width$}  {}", remote.name, url(remote)?)?;
            } else {
                writeln!(out, "{}", remote.name)?;
            }
        }
        Ok(out.finish()?)
    }
}

fn find(repo: &Repo, name: &str) -> Result<Remote, RemoteError> {
    let found = repo.remote(name);
    found.ok_or_else(|| RemoteError::NotFound(name.to_owned()))
}

fn url(remote: &Remote) -> Result<&str, AskError> {
    let url = remote.get("url");
    url.ok_or_else(|| AskError::NoUrl(remote.name.clone()))
}

fn list_refs(context: &Context, repo: &Repo, name: &str) -> Result<(), Failure> {
    let remote = find(repo, name)?;
    let url = url(&remote)?;
    let path = url
        .strip_prefix("file://")
        .ok_or_else(|| AskError::NotLocal(url.to_owned()))?;
    let there = Repo::open_at(CWD, Path::new(path))?;
    let summary = there.load_summary()?.ok_or(AskError::NoSummary)?;
    let mut out = context.results();
    for found in &summary.refs {
        writeln!(out, "{name}:{}", found.name)?;
    }
    Ok(out.finish()?)
}
