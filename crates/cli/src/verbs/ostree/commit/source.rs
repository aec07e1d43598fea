//! Where the trees of a commit come from.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::Args;
use layer::ArchiveOptions;
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
    Tar(PathBuf),
}

/// How archives become trees.
#[derive(Debug, Args)]
pub(super) struct Tar {
    /// Make parent directories that an archive does not name
    #[arg(long)]
    tar_autocreate_parents: bool,
    /// Change path names of archives: what matches REGEX becomes REPLACEMENT
    #[arg(long, value_name = "REGEX,REPLACEMENT", value_parser = PathFilter::parse)]
    tar_pathname_filter: Option<PathFilter>,
}

/// A change of path names.
#[derive(Debug, Clone)]
struct PathFilter {
    pattern: fancy_regex::Regex,
    replacement: String,
}

impl PathFilter {
    fn parse(text: &str) -> Result<Self, String> {
        let (pattern, replacement) = text
            .split_once(',')
            .ok_or_else(|| "REGEX,REPLACEMENT is expected".to_owned())?;
        Ok(Self {
            pattern: fancy_regex::Regex::new(pattern).map_err(|error| error.to_string())?,
            // A dollar sign means nothing here, \\1 the first group.
            replacement: replacement.replace('$', "$$").replace('\\', "$"),
        })
    }
}

impl Tar {
    fn rename(&self, path: &str) -> String {
        match &self.tar_pathname_filter {
            Some(filter) => {
                let renamed = filter
                    .pattern
                    .replace_all(path, filter.replacement.as_str());
                renamed.into_owned()
            }
            None => path.to_owned(),
        }
    }
}

impl std::str::FromStr for Source {
    type Err = CommitError;

    fn from_str(text: &str) -> Result<Self, CommitError> {
        match text.split_once('=') {
            Some(("dir", path)) => Ok(Self::Dir(path.into())),
            Some(("tar", path)) => Ok(Self::Tar(path.into())),
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
        (source, tar): (&Source, &Tar),
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
            Source::Tar(path) => {
                let archive: Box<dyn Read + Send> = if path.as_os_str() == "-" {
                    Box::new(std::io::stdin())
                } else {
                    Box::new(File::open(path).map_err(|source| CommitError::File {
                        path: path.clone(),
                        source,
                    })?)
                };
                let options = ArchiveOptions {
                    changes: options,
                    autocreate_parents: tar.tar_autocreate_parents,
                    rename: &|path| tar.rename(path),
                };
                self.lay(layer::import_archive(to, archive, options, interrupt)?)
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
