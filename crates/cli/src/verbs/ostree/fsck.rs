//! `bootroot ostree fsck`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{FsckOptions, FsckReport};

use crate::context::Context;
use crate::outcome::{Exit, Failure, Hinted};

/// Check the repository for consistency
#[derive(Debug, Args)]
pub(crate) struct Fsck {
    /// Accepted for compatibility: a check never stops on the first error
    #[arg(short, long)]
    all: bool,
}

/// Something is damaged; what it is has been listed.
#[derive(Debug, thiserror::Error)]
#[error("repository corruption encountered: {count} {}", if *count == 1 { "problem" } else { "problems" })]
struct Damaged {
    count: usize,
}

impl Classified for Damaged {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Fsck {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let report = repo.fsck(
            &FsckOptions::default(),
            context.progress(),
            context.interrupt(),
        )?;
        print(context, &report)?;
        match report.damage.len() {
            0 => Ok(Exit::Done),
            count => Err(Damaged { count }).hint(
                "fetch what is damaged again: pull the images, or remove and pull those that the objects belong to",
            ),
        }
    }
}

/// With `--quiet`, only what is wrong.
fn print(context: &Context, report: &FsckReport) -> Result<(), Failure> {
    let mut out = context.results();
    for damage in &report.damage {
        writeln!(out, "{damage}")?;
    }
    if report.partial_commits > 0 {
        writeln!(
            out,
            "{} partial commits not verified",
            report.partial_commits
        )?;
    }
    if report.damage.is_empty() && !context.quiet() {
        let commits = report.commits;
        writeln!(
            out,
            "object fsck of {commits} commits completed successfully - no errors found."
        )?;
    }
    Ok(out.finish()?)
}
