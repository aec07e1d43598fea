//! `bootroot ostree remote refs` and `summary`: what a remote tells of itself.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{Repo, Summary};
use pull::{FetchedSummary, Remote, fetch_summary};
use signature::gpg;

use super::super::remote_access::RemoteAccess;
use super::super::{summary, variant};
use crate::context::Context;
use crate::environment;
use crate::outcome::Failure;

/// List refs of a remote
#[derive(Debug, Args)]
pub(crate) struct Refs {
    /// Show the commits as well
    #[arg(short, long)]
    revision: bool,
    /// Keep summaries in DIR
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// The remote
    name: String,
}

/// Show the summary of a remote
#[derive(Debug, Args)]
pub(crate) struct RemoteSummary {
    /// List the keys of the metadata
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print the value of a metadata key
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
    /// Keep summaries in DIR
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Print the stored values as they are
    #[arg(long)]
    raw: bool,
    /// The remote
    name: String,
}

/// What a remote does not tell.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("Remote refs not available; server has no summary file")]
    RefsUnavailable,
    #[error("Remote server has no summary file")]
    SummaryMissing,
    #[error("No such metadata key '{0}'")]
    UnknownKey(String),
}

impl Classified for AskError {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

impl Refs {
    pub(super) fn run(&self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let remote = Remote::find(repo, &self.name)?;
        let access = RemoteAccess::new(context.place(), repo, &remote, self.cache_dir.as_deref())?;
        let fetched = fetch_summary(repo, &remote, access.surroundings(), context.interrupt())?;
        let summary = Summary::from_bytes(&fetched.summary.ok_or(AskError::RefsUnavailable)?)?;
        let mut out = context.results();
        for found in &summary.refs {
            write!(out, "{}:{}", self.name, found.name)?;
            if self.revision {
                write!(out, "\t{}", found.commit)?;
            }
            writeln!(out)?;
        }
        Ok(out.finish()?)
    }
}

impl RemoteSummary {
    pub(super) fn run(&self, context: &Context, repo: &Repo) -> Result<(), Failure> {
        let remote = Remote::find(repo, &self.name)?;
        let access = RemoteAccess::new(context.place(), repo, &remote, self.cache_dir.as_deref())?;
        let fetched = fetch_summary(repo, &remote, access.surroundings(), context.interrupt())?;
        let bytes = fetched.summary.as_ref().ok_or(AskError::SummaryMissing)?;
        let parsed = Summary::from_bytes(bytes)?;
        let mut out = context.results();
        if self.list_metadata_keys {
            let mut keys: Vec<&str> = parsed.metadata.iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            for key in keys {
                writeln!(out, "{key}")?;
            }
        } else if let Some(key) = &self.print_metadata_key {
            let value = parsed.metadata.get(key);
            let value = value.ok_or_else(|| AskError::UnknownKey(key.clone()))?;
            writeln!(out, "{}", variant::annotated(value))?;
        } else {
            summary::show(&parsed, &mut out)?;
            self.show_signatures(&access, &fetched, &mut out)?;
        }
        Ok(out.finish()?)
    }

    /// The signatures by which the summary was accepted, where GPG's are asked for.
    fn show_signatures(
        &self,
        access: &RemoteAccess,
        fetched: &FetchedSummary,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let (Some(trust), Some(summary), false) = (access.trust(), &fetched.summary, self.raw)
        else {
            return Ok(());
        };
        let signatures = fetched.signatures.as_deref();
        let verdict = trust.verify_summary(summary, signatures, environment::now())?;
        if let Some(gpg) = &verdict.gpg {
            let text = gpg::describe_all(gpg, gpg::Heading::VerificationEnabled, &|_| 0);
            write!(out, "\n{text}")?;
        }
        Ok(())
    }
}
