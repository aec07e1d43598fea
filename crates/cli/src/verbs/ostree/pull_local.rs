//! `bootroot ostree pull-local`

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{PullLocalOptions, Repo};
use ostree_format::refs::Refspec;
use pull::{Options, Remote, WantedRef};
use rustix::fs::CWD;

use super::remote_access::RemoteAccess;
use super::{prune, sizes};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Copy data from another repository on this machine
#[derive(Debug, Args)]
pub(crate) struct PullLocal {
    /// Only the commit itself, without its files
    #[arg(long)]
    commit_metadata_only: bool,
    /// The refs become those of REMOTE
    #[arg(long, value_name = "REMOTE")]
    remote: Option<String>,
    /// Verify checksums of what is copied
    #[arg(long)]
    untrusted: bool,
    /// Reject regular files with modes that bare-user-only repositories cannot hold
    #[arg(long)]
    bareuseronly_files: bool,
    /// Do not verify that commits say that they belong to the refs
    #[arg(long)]
    disable_verify_bindings: bool,
    /// Accepted for compatibility: the repository's config says whether to sync
    #[arg(long)]
    disable_fsync: bool,
    /// Accepted for compatibility: the repository's config says whether to sync
    #[arg(long)]
    per_object_fsync: bool,
    /// Take everything from static deltas
    #[arg(long, conflicts_with_all = ["remote", "disable_static_deltas"])]
    require_static_deltas: bool,
    /// Do not use static deltas; they are not used anyway unless required
    #[arg(long)]
    disable_static_deltas: bool,
    /// Traverse DEPTH parents; -1 is all
    #[arg(
        long,
        value_name = "DEPTH",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    depth: i32,
    /// The repository to copy from
    #[arg(value_name = "SRC_REPO")]
    source: PathBuf,
    /// Refs or checksums of commits [default: all refs]
    #[arg(value_name = "REF")]
    refs: Vec<String>,
}

/// Only the repository's own refs can be copied without being named.
#[derive(Debug, thiserror::Error)]
#[error("Invalid ref name {0}")]
struct RefOfRemote(String);

impl Classified for RefOfRemote {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl PullLocal {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let source = Repo::open_at(CWD, &self.source)?;
        if self.require_static_deltas {
            return self.by_deltas(&repo, &source, context);
        }
        let options = PullLocalOptions {
            depth: prune::depth(self.depth),
            commit_only: self.commit_metadata_only,
            untrusted: self.untrusted,
            remote: self.remote.clone(),
            verify_bindings: !self.disable_verify_bindings,
            user_only_files: self.bareuseronly_files,
            threads: None,
        };
        let stats = repo.pull_local(
            &source,
            &self.revs(&source)?,
            &options,
            context.progress(),
            context.interrupt(),
        )?;
        let mut out = context.results();
        writeln!(
            out,
            "{} metadata, {} content objects imported; {} content written",
            stats.metadata,
            stats.content,
            sizes::human(stats.content_bytes)
        )?;
        out.finish()?;
        Ok(Exit::Done)
    }

    /// The other repository is read as that of a server would be.
    fn by_deltas(&self, repo: &Repo, source: &Repo, context: &Context) -> Result<Exit, Failure> {
        let path = self.source.canonicalize()?;
        let remote = Remote::find(repo, &format!("file://{}", path.display()))?;
        let access = RemoteAccess::new(repo, &remote, None)?;
        let mut options = Options::default();
        for rev in self.revs(source)? {
            match rev.parse() {
                Ok(commit) => options.commits.push(commit),
                Err(_) => options.refs.push(WantedRef {
                    name: rev.parse()?,
                    commit: None,
                }),
            }
        }
        options.depth = prune::depth(self.depth);
        options.commit_only = self.commit_metadata_only;
        options.untrusted = self.untrusted;
        options.user_only_files = self.bareuseronly_files;
        options.verify_bindings = !self.disable_verify_bindings;
        options.require_deltas = true;
        let begun = Instant::now();
        let report = pull::pull(
            repo,
            &remote,
            &options,
            access.surroundings(),
            context.progress(),
            context.interrupt(),
        )?;
        let mut out = context.results();
        writeln!(
            out,
            "{}",
            super::pull::summary(&report, begun.elapsed().as_secs())
        )?;
        out.finish()?;
        Ok(Exit::Done)
    }

    fn revs(&self, source: &Repo) -> Result<Vec<String>, Failure> {
        if !self.refs.is_empty() {
            return Ok(self.refs.clone());
        }
        // As with `ostree`, a repository that has refs of remotes cannot be taken as a whole.
        let own = |refspec: Refspec| match refspec.remote {
            None => Ok(refspec.to_string()),
            Some(_) => Err(RefOfRemote(refspec.to_string())),
        };
        let refs = source.list_refs()?.into_iter();
        let refs: Result<_, _> = refs.map(|(refspec, _)| own(refspec)).collect();
        Ok(refs?)
    }
}
