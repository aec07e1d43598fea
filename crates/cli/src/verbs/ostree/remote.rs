//! `bootroot ostree remote`

mod add;
mod ask;
mod cookies;
mod gpg;

use std::io::Write;

use clap::{Args, Subcommand};
use error_class::{Classified, ErrorClass};
use ostree::{Remote, RemoteError, Repo};

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::remotes;

/// Remotes of the repository
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteVerb {
    Add(Box<add::Add>),
    AddCookie(cookies::AddCookie),
    Delete(Delete),
    DeleteCookie(cookies::DeleteCookie),
    GpgImport(gpg::GpgImport),
    GpgListKeys(gpg::GpgListKeys),
    List(List),
    ListCookies(cookies::ListCookies),
    Refs(ask::Refs),
    ShowUrl(ShowUrl),
    Summary(ask::RemoteSummary),
}

/// Forget a remote
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Do nothing if there is no such remote
    #[arg(long)]
    if_exists: bool,
    /// The remote
    name: String,
}

/// List the remotes
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Show their URLs as well
    #[arg(short = 'u', long)]
    show_urls: bool,
}

/// Print the URL of a remote
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
}

impl Classified for AskError {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

impl RemoteVerb {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = context.place().open_repository()?;
        match self {
            Self::Add(verb) => verb.run(context, &mut repo)?,
            Self::Delete(verb) => verb.run(context, &mut repo)?,
            Self::GpgImport(verb) => verb.run(context, &repo)?,
            Self::GpgListKeys(verb) => verb.run(context, &repo)?,
            Self::List(verb) => verb.run(context, &repo)?,
            Self::Refs(verb) => verb.run(context, &repo)?,
            Self::Summary(verb) => verb.run(context, &repo)?,
            Self::AddCookie(verb) => verb.run(&repo)?,
            Self::DeleteCookie(verb) => verb.run(&repo)?,
            Self::ListCookies(verb) => verb.run(context, &repo)?,
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
    fn run(self, context: &Context, repo: &mut Repo) -> Result<(), Failure> {
        let directory = context.place().outer_remotes_directory();
        let is_outer = directory.map(|directory| remotes::delete(&directory, &self.name));
        if is_outer.transpose()? == Some(true) {
            return Ok(());
        }
        match repo.delete_remote(&self.name) {
            Err(RemoteError::NotFound(_)) if self.if_exists => Ok(()),
            other => Ok(other?),
        }
    }
}

impl List {
    fn run(self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let mut remotes = repo.remotes();
        // Those of the repository that this one builds on.
        if let Some(parent) = repo.parent() {
            remotes.extend(parent.remotes());
        }
        remotes.extend(repo.outer_remotes().iter().cloned());
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
