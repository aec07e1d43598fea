//! `bootroot ostree fsck`

use std::collections::BTreeSet;
use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{Damage, FsckOptions, FsckReport, ReadError, Repaired, Repo};
use ostree_format::{Checksum, ObjectName};

use crate::context::Context;
use crate::outcome::{Exit, Failure, Hinted};
use crate::results::Results;

/// Verify objects, and that nothing is missing
#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// Report everything in the same way; without it, the first damage is the error
    #[arg(short, long)]
    all: bool,
    /// Remove corrupted objects
    #[arg(long)]
    delete: bool,
    /// Add tombstones for missing parents of commits
    #[arg(long)]
    add_tombstones: bool,
    /// Verify that commits were made for the refs that name them
    #[arg(long)]
    verify_bindings: bool,
    /// Verify that the refs that commits were made for name them (implies --verify-bindings)
    #[arg(long)]
    verify_back_refs: bool,
}

/// Something is damaged.
#[derive(Debug, thiserror::Error)]
enum FsckError {
    #[error("{0}")]
    First(String),
    #[error("Repository corruption encountered")]
    Listed,
    #[error("{0} partial commits from fsck-detected corruption")]
    Before(usize),
}

impl Classified for FsckError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Fsck {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = context.place().open_repository()?;
        let mut out = context.results();
        if !context.quiet() {
            writeln!(out, "Validating refs...\nValidating refs in collections...")?;
            out.flush()?;
        }
        if self.verify_bindings || self.verify_back_refs {
            repo.verify_ref_bindings()?;
        }
        if self.verify_back_refs {
            repo.verify_back_references(context.interrupt())?;
        }
        let report = repo.fsck(
            &FsckOptions::default(),
            context.progress(),
            context.interrupt(),
        )?;
        if self.add_tombstones {
            for commit in repo.add_tombstones()? {
                writeln!(out, "Adding tombstone for commit {commit}")?;
            }
        }
        self.print(context, out, &report)?;
        self.settle(context, &repo, &report).hint(
            "pull what is damaged again: commits that lack something are fetched whole then",
        )?;
        Ok(Exit::Done)
    }

    fn print(
        &self,
        context: &Context,
        mut out: Results,
        report: &FsckReport,
    ) -> Result<(), Failure> {
        let (commits, partial) = (report.commits, report.partial_commits);
        if !context.quiet() {
            writeln!(out, "Enumerating commits...")?;
            writeln!(
                out,
                "Verifying content integrity of {commits} commit objects..."
            )?;
        }
        if partial > 0 {
            writeln!(out, "{partial} partial commits not verified")?;
        }
        if report.damage.is_empty() {
            writeln!(
                out,
                "object fsck of {commits} commits completed successfully - no errors found."
            )?;
        }
        Ok(out.finish()?)
    }

    /// Tells what is damaged and does what is to be done about it.
    fn settle(&self, context: &Context, repo: &Repo, report: &FsckReport) -> Result<(), Failure> {
        let lost = lost_before(report);
        let found: Vec<&Damage> = report
            .damage
            .iter()
            .filter(|d| !is_known(d, &lost))
            .collect();
        if found.is_empty() {
            return match lost.len() {
                0 => Ok(()),
                count => Err(FsckError::Before(count).into()),
            };
        }
        let repaired = repo.repair(report, self.delete, context.interrupt())?;
        let mut told = found.into_iter().map(|damage| tell(damage, &repaired));
        let first = if self.all || self.delete {
            None
        } else {
            told.next()
        };
        let mut stderr = std::io::stderr().lock();
        for text in told {
            writeln!(stderr, "{text}")?;
        }
        for commit in &repaired.marked {
            writeln!(stderr, "Marking commit as partial: {commit}")?;
        }
        Err(first.map_or(FsckError::Listed, FsckError::First).into())
    }
}

/// Commits that an earlier verification marked.
fn lost_before(report: &FsckReport) -> BTreeSet<Checksum> {
    let lost = report.damage.iter().filter_map(|damage| match damage {
        Damage::LostObjects { commit } => Some(*commit),
        _ => None,
    });
    lost.collect()
}

/// Whether the damage is why a commit was marked earlier.
fn is_known(damage: &Damage, lost: &BTreeSet<Checksum>) -> bool {
    match damage {
        Damage::LostObjects { .. } => true,
        Damage::Missing { commit, .. } => lost.contains(commit),
        _ => false,
    }
}

/// The damage, and which commits it hits.
fn tell(damage: &Damage, repaired: &Repaired) -> String {
    let in_commits = |name: &ObjectName| {
        let commits = repaired.needed_by.get(name)?.iter();
        let commits: Vec<String> = commits.map(ToString::to_string).collect();
        Some(commits.join(", "))
    };
    match damage {
        Damage::Missing { missing, .. } => match in_commits(missing) {
            Some(commits) => format!("Object missing in commits {commits}: {missing}"),
            None => format!("Object missing: {missing}"),
        },
        Damage::Object(ReadError::Damaged { name, .. } | ReadError::BadContent { name, .. }) => {
            match in_commits(name) {
                Some(commits) => format!("In commits {commits}: {damage}"),
                None => damage.to_string(),
            }
        }
        _ => damage.to_string(),
    }
}
