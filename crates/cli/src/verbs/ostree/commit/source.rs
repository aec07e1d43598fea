//! Where the trees of a commit come from.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use ostree::{CommitDirOptions, Transaction, Tree, merge_trees};

use super::CommitError;
use crate::context::Context;
use crate::outcome::Failure;
use crate::place::open_dir;

/// Where a tree comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Dir(PathBuf),
    Commit(String),
}

impl std::str::FromStr for Source {
    type Err = CommitError;

    fn from_str(text: &str) -> Result<Self, CommitError> {
        match text.split_once('=') {
            Some(("dir", path)) => Ok(Self::Dir(path.into())),
            Some(("ref", rev)) => Ok(Self::Commit(rev.to_owned())),
            _ => Err(CommitError::TreeType(text.to_owned())),
        }
    }
}

/// What the sources gave.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) tree: Option<Tree>,
    /// Files that needed no reading.
    pub(super) hits: u64,
}

impl Gathered {
    /// The tree of a commit, as it is.
    pub(super) fn base(&mut self, to: &Transaction<'_>, rev: &str) -> Result<(), Failure> {
        self.lay(load(to, rev)?)
    }

    /// Lays a source over those before it.
    pub(super) fn add(
        &mut self,
        context: &Context,
        to: &Transaction<'_>,
        source: &Source,
        options: &CommitDirOptions<'_>,
    ) -> Result<(), Failure> {
        let (progress, interrupt) = (context.progress(), context.interrupt());
        match source {
            Source::Dir(path) => {
                let dir = open_dir("the directory", path)?;
                let written = to.write_directory(dir.as_fd(), options, progress, interrupt)?;
                self.hits += written.devino_hits;
                self.lay(written.tree)
            }
            Source::Commit(rev) if options.change_anything() => {
                let tree = load(to, rev)?;
                let written = to.write_tree_again(tree, options, progress, interrupt)?;
                self.lay(written.tree)
            }
            Source::Commit(rev) => self.base(to, rev),
        }
    }

    fn lay(&mut self, upper: Tree) -> Result<(), Failure> {
        match &mut self.tree {
            Some(lower) => Ok(merge_trees(lower, upper)?),
            None => {
                self.tree = Some(upper);
                Ok(())
            }
        }
    }
}

fn load(to: &Transaction<'_>, rev: &str) -> Result<Tree, Failure> {
    let commit = to.repo().load_commit(&to.repo().resolve(rev)?)?;
    Ok(to.repo().load_tree(&commit.contents, &commit.meta)?)
}
