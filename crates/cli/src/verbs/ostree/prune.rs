//! `bootroot ostree prune`

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{Depth, PruneOptions, PruneStats, Repo};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;

use super::{sizes, when};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Remove objects that no ref leads to
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only display unreachable objects; don't delete
    #[arg(long)]
    no_prune: bool,
    /// Only refs keep commits; others go, whatever their age
    #[arg(long)]
    refs_only: bool,
    /// Only traverse DEPTH parents for each commit; -1 is all
    #[arg(
        long,
        value_name = "DEPTH",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    depth: i32,
    /// Delete this commit first
    #[arg(long, value_name = "COMMIT", conflicts_with = "no_prune")]
    delete_commit: Option<String>,
    /// Delete the static deltas that lead to the commit of --delete-commit, not the commit
    #[arg(long)]
    static_deltas_only: bool,
    /// Remove commits from before DATE
    #[arg(long, value_name = "DATE")]
    keep_younger_than: Option<String>,
    /// Keep DEPTH parents of the commit of BRANCH
    #[arg(long, value_name = "BRANCH=DEPTH")]
    retain_branch_depth: Vec<String>,
    /// Only prune BRANCH; may be given several times
    #[arg(long, value_name = "BRANCH")]
    only_branch: Vec<Refspec>,
    /// Remove commits only, not their files
    #[arg(long)]
    commit_only: bool,
}

/// Options that cannot be understood.
#[derive(Debug, thiserror::Error)]
enum PruneArgument {
    /// A value of `--retain-branch-depth` that is not of its form.
    #[error("Invalid value {0}, must specify BRANCH=DEPTH")]
    NoBranchDepth(String),
    #[error("Invalid depth {0}")]
    InvalidDepth(String),
    #[error("--static-deltas-only requires --delete-commit")]
    NoCommit,
}

impl Classified for PruneArgument {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Prune {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = context.place().open_repository()?;
        let options = self.options(&repo)?;
        match &self.delete_commit {
            None if self.static_deltas_only => return Err(PruneArgument::NoCommit.into()),
            None => {}
            Some(rev) if self.static_deltas_only => delete_deltas(&repo, &repo.resolve(rev)?)?,
            Some(rev) => {
                let commit = repo.resolve(rev)?;
                repo.delete_commit(&commit)?;
            }
        }
        let plan = repo.plan_prune(&options, context.interrupt())?;
        let stats = if self.no_prune {
            plan.stats()
        } else {
            let stats = plan.apply(context.progress(), context.interrupt())?;
            pull::Cache::of(&repo)?.prune(&repo)?;
            stats
        };
        self.print(context, stats)?;
        Ok(Exit::Done)
    }

    fn options(&self, repo: &Repo) -> Result<PruneOptions, Failure> {
        let now = std::time::SystemTime::now().into();
        let limit = self.keep_younger_than.as_deref();
        for branch in &self.only_branch {
            repo.resolve(&branch.to_string())?;
        }
        Ok(PruneOptions {
            refs_only: self.refs_only,
            depth: depth(self.depth),
            keep_younger_than: limit.map(|text| when::parse(text, now)).transpose()?,
            branch_depths: self.branch_depths()?,
            only_branches: self.only_branch.clone(),
            commit_only: self.commit_only,
        })
    }

    fn branch_depths(&self) -> Result<BTreeMap<String, Depth>, PruneArgument> {
        let parse = |text: &String| {
            let no_depth = || PruneArgument::NoBranchDepth(text.clone());
            let (branch, number) = text.split_once('=').ok_or_else(no_depth)?;
            let number = number
                .parse()
                .map_err(|_| PruneArgument::InvalidDepth(number.to_owned()))?;
            Ok((branch.to_owned(), depth(number)))
        };
        self.retain_branch_depth.iter().map(parse).collect()
    }

    fn print(&self, context: &Context, stats: PruneStats) -> Result<(), Failure> {
        let mut out = context.results();
        let what = if self.commit_only {
            " (commit only)"
        } else {
            ""
        };
        writeln!(out, "Total{what} objects: {}", stats.objects)?;
        let (deleted, bytes) = (stats.deleted, sizes::human(stats.bytes));
        if deleted == 0 {
            writeln!(out, "No unreachable objects")?;
        } else if self.no_prune {
            writeln!(out, "Would delete: {deleted} objects, freeing {bytes}")?;
        } else {
            writeln!(out, "Deleted {deleted} objects, {bytes} freed")?;
        }
        Ok(out.finish()?)
    }
}

fn delete_deltas(repo: &Repo, to: &Checksum) -> Result<(), Failure> {
    for delta in repo.list_deltas()? {
        if delta.to == *to {
            repo.delete_delta(&delta)?;
        }
    }
    Ok(())
}

/// A negative number stands for everything.
pub(super) fn depth(number: i32) -> Depth {
    u32::try_from(number).map_or(Depth::All, Depth::Ancestors)
}
