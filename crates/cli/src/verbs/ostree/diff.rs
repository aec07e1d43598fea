//! `bootroot ostree diff`

use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::Path;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{CommitDirOptions, Repo, TransactionOptions, Tree, diff_trees};
use ostree_format::Checksum;

use super::sizes;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;
use crate::results::Results;

/// Compare a directory or commit against a commit
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Print how many objects the commits have, and what they have in common
    #[arg(long)]
    stats: bool,
    /// Print a list of what differs, which is done anyhow unless --stats is given
    #[arg(long)]
    fs_diff: bool,
    /// Leave extended attributes of directories out
    #[arg(long)]
    no_xattrs: bool,
    /// Use this file ownership user id for directories
    #[arg(long, value_name = "UID")]
    owner_uid: Option<u32>,
    /// Use this file ownership group id for directories
    #[arg(long, value_name = "GID")]
    owner_gid: Option<u32>,
    /// A commit, or a directory when it begins with / or ./; alone, it is compared with its parent
    #[arg(value_name = "REV_OR_DIR")]
    from: String,
    /// A commit, or a directory when it begins with / or ./
    #[arg(value_name = "REV_OR_DIR")]
    to: Option<String>,
}

/// There is nothing to compare with.
#[derive(Debug, thiserror::Error)]
#[error("Commit {0} has no parent")]
struct NoParent(Checksum);

impl Classified for NoParent {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

impl Diff {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let mut out = context.results();
        if self.fs_diff || !self.stats {
            self.print_differences(context, &repo, &mut out)?;
        }
        if self.stats {
            self.print_stats(context, &repo, &mut out)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }

    fn print_differences(
        &self,
        context: &Context,
        repo: &Repo,
        out: &mut Results,
    ) -> Result<(), Failure> {
        let (from, to) = match &self.to {
            Some(to) => (
                self.tree(context, repo, &self.from)?,
                self.tree(context, repo, to)?,
            ),
            None => (
                load(repo, &parent(repo, &self.from)?)?,
                self.tree(context, repo, &self.from)?,
            ),
        };
        let diff = diff_trees(&from, &to);
        // As with `ostree`, paths of directories of the system are shown without the slash.
        let old = if is_directory(&self.from) { "" } else { "/" };
        let new = self.to.as_deref().unwrap_or(&self.from);
        let new = if is_directory(new) { "" } else { "/" };
        print(out, &format!("M    {old}"), &diff.modified)?;
        print(out, &format!("D    {old}"), &diff.removed)?;
        print(out, &format!("A    {new}"), &diff.added)
    }

    fn print_stats(
        &self,
        context: &Context,
        repo: &Repo,
        out: &mut Results,
    ) -> Result<(), Failure> {
        let (from, to) = match &self.to {
            Some(to) => (repo.resolve(&self.from)?, repo.resolve(to)?),
            None => (parent(repo, &self.from)?, repo.resolve(&self.from)?),
        };
        let objects = |commit| repo.reachable_objects(&commit, context.interrupt());
        let (from, to) = (objects(from)?, objects(to)?);
        let mut common = 0;
        let mut bytes = 0;
        for object in from.intersection(&to) {
            common += 1;
            bytes += repo.stored_size(object)?.unwrap_or_default();
        }
        writeln!(out, "[A] Object Count: {}", from.len())?;
        writeln!(out, "[B] Object Count: {}", to.len())?;
        writeln!(out, "Common Object Count: {common}")?;
        writeln!(out, "Common Object Size: {}", sizes::human(bytes))?;
        Ok(())
    }

    fn tree(&self, context: &Context, repo: &Repo, text: &str) -> Result<Tree, Failure> {
        if !is_directory(text) {
            return load(repo, &repo.resolve(text)?);
        }
        let dir = open_dir("the directory", Path::new(text))?;
        let options = CommitDirOptions {
            uid: self.owner_uid,
            gid: self.owner_gid,
            skip_xattrs: self.no_xattrs,
            checksums_only: true,
            ..CommitDirOptions::default()
        };
        // Never committed: only the checksums are wanted.
        let transaction = repo.begin(TransactionOptions::default())?;
        let written = transaction.write_directory(
            dir.as_fd(),
            &options,
            context.progress(),
            context.interrupt(),
        )?;
        Ok(written.tree)
    }
}

fn load(repo: &Repo, id: &Checksum) -> Result<Tree, Failure> {
    let commit = repo.load_commit(id)?;
    Ok(repo.load_tree(&commit.contents, &commit.meta)?)
}

fn parent(repo: &Repo, rev: &str) -> Result<Checksum, Failure> {
    let id = repo.resolve(rev)?;
    Ok(repo.load_commit(&id)?.parent.ok_or(NoParent(id))?)
}

fn is_directory(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("./")
}

fn print(out: &mut Results, before: &str, paths: &[Vec<u8>]) -> Result<(), Failure> {
    for path in paths {
        write!(out, "{before}")?;
        out.write_all(path.strip_prefix(b"/").unwrap_or(path))?;
        writeln!(out)?;
    }
    Ok(())
}
