//! `bootroot ostree static-delta`

mod apply;
mod generate;
mod keys;
mod show;

use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use clap::{Args, Subcommand};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::{Checksum, limits};
use rustix::fs::CWD;
use static_delta::{DeltaFile, DeltaName};

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;

/// Static deltas of the repository
#[derive(Debug, Subcommand)]
pub(crate) enum StaticDelta {
    ApplyOffline(apply::ApplyOffline),
    Delete(Named),
    Generate(Box<generate::Generate>),
    Indexes(Indexes),
    List(List),
    Reindex(Reindex),
    Show(show::Show),
    Verify(apply::Verify),
}

/// List static deltas
#[derive(Debug, Args)]
pub(crate) struct List {}

/// List commits that have an index of the static deltas to them
#[derive(Debug, Args)]
pub(crate) struct Indexes {}

/// Remove a static delta
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// TO, or FROM-TO
    delta: String,
}

/// Write the indexes of static deltas anew
#[derive(Debug, Args)]
pub(crate) struct Reindex {
    /// Only the index of the deltas to this commit
    #[arg(long, value_name = "COMMIT")]
    to: Option<Checksum>,
}

/// A file that is not there.
#[derive(Debug, thiserror::Error)]
#[error("there is no static delta at {path:?}")]
struct NoSuchFile {
    path: String,
}

impl Classified for NoSuchFile {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

impl StaticDelta {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        match self {
            Self::ApplyOffline(verb) => verb.run(&repo, context),
            Self::Generate(verb) => verb.run(&repo, context),
            Self::Show(verb) => verb.run(&repo, context),
            Self::Verify(verb) => verb.run(&repo, context),
            Self::List(_) => list(repo.list_deltas()?, "(No static deltas)", context),
            Self::Indexes(_) => list(
                repo.list_delta_indexes()?,
                "(No static deltas indexes)",
                context,
            ),
            Self::Delete(Named { delta }) => {
                repo.delete_delta(&delta.parse()?)?;
                Ok(Exit::Done)
            }
            Self::Reindex(Reindex { to }) => {
                repo.reindex_deltas(to)?;
                Ok(Exit::Done)
            }
        }
    }
}

fn list<T: std::fmt::Display>(
    things: Vec<T>,
    none: &str,
    context: &Context,
) -> Result<Exit, Failure> {
    let mut out = context.results();
    if things.is_empty() {
        writeln!(out, "{none}")?;
    }
    for thing in things {
        writeln!(out, "{thing}")?;
    }
    out.finish()?;
    Ok(Exit::Done)
}

/// The superblock of a delta that is named, or, with a slash, of a file.
fn load(repo: &Repo, delta: &str) -> Result<DeltaFile, Failure> {
    let bytes = if delta.contains('/') {
        read(Path::new(delta))?
    } else {
        repo.load_delta(&delta.parse::<DeltaName>()?)?
    };
    Ok(DeltaFile::from_bytes(bytes)?)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = durable::read_optional(CWD, path, limits::MAX_DELTA_FILE)?;
    let missing = || NoSuchFile {
        path: path.display().to_string(),
    };
    Ok(bytes.ok_or_else(missing)?)
}

/// A delta that lies somewhere: a directory with a file `superblock`, or a file with parts beside it.
fn locate(path: &Path) -> Result<(Vec<u8>, OwnedFd), Failure> {
    let is_dir = match rustix::fs::stat(path) {
        Err(rustix::io::Errno::NOENT) => {
            return Err(NoSuchFile {
                path: path.display().to_string(),
            }
            .into());
        }
        other => {
            rustix::fs::FileType::from_raw_mode(other.during("look at", path)?.st_mode).is_dir()
        }
    };
    let (dir, file) = if is_dir {
        (path, path.join("superblock"))
    } else {
        (parent(path), path.to_owned())
    };
    Ok((
        read(&file)?,
        open_dir("the directory of the static delta", dir)?,
    ))
}

/// The directory that a file of the user's choice is in.
fn parent(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}
