//! `bootroot ostree cat`

use std::collections::VecDeque;
use std::io;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::Checksum;

use super::ls::{Item, child};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Print files of a commit, one after another
#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The commit
    commit: String,
    /// Paths of files in the commit; links are followed
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<String>,
}

/// What has no content.
#[derive(Debug, thiserror::Error)]
enum CatError {
    #[error("No such file or directory: {0}")]
    NotFound(String),
    #[error("Can't open directory: {0}")]
    Directory(String),
    #[error("Too many levels of symbolic links: {0}")]
    Links(String),
}

impl Classified for CatError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_) => ErrorClass::NotFound,
            Self::Directory(_) | Self::Links(_) => ErrorClass::InvalidInput,
        }
    }
}

impl Cat {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let commit = repo.load_commit(&repo.resolve(&self.commit)?)?;
        let root = Item::Dir {
            contents: commit.contents,
            meta: commit.meta,
        };
        let mut out = context.results();
        for path in &self.paths {
            let mut file = repo.open_file(&find(&repo, root, path)?)?;
            io::copy(&mut file.content, &mut out)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// The regular file at `path`.
fn find(repo: &Repo, root: Item, path: &str) -> Result<Checksum, Failure> {
    let mut trail = vec![root];
    let mut parts: VecDeque<String> = split(path).collect();
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        if part == ".." {
            trail.truncate(trail.len().saturating_sub(1).max(1));
            continue;
        }
        let here = trail.last().copied().unwrap_or(root);
        let item = child(repo, here, &part)?.ok_or_else(|| CatError::NotFound(path.to_owned()))?;
        let Some(target) = target_of(repo, item)? else {
            trail.push(item);
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(CatError::Links(path.to_owned()).into());
        }
        if target.starts_with('/') {
            trail.truncate(1);
        }
        for part in split(&target).rev() {
            parts.push_front(part);
        }
    }
    match trail.pop() {
        Some(Item::File(id)) => Ok(id),
        _ => Err(CatError::Directory(path.to_owned()).into()),
    }
}

fn target_of(repo: &Repo, item: Item) -> Result<Option<String>, Failure> {
    match item {
        Item::File(id) => Ok(repo.open_file(&id)?.header.symlink),
        Item::Dir { .. } => Ok(None),
    }
}

fn split(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(str::to_owned)
}
