//! `bootroot ostree pull-local`

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::{ArgAction, Args};
use error_class::{Classified, ErrorClass};
use ostree::{PullLocalOptions, RemoteError, Repo};
use ostree_format::refs::Refspec;
use pull::{Options, Remote, WantedRef};
use rustix::fs::CWD;
use trust::{Policy, RemoteTrust};

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
    #[arg(long, conflicts_with = "disable_static_deltas")]
    require_static_deltas: bool,
    /// Do not use static deltas; they are not used anyway unless required
    #[arg(long)]
    disable_static_deltas: bool,
    /// Verify GPG signatures of commits with the keys of the remote, which must be named
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        default_value_t = false,
        default_missing_value = "true"
    )]
    gpg_verify: bool,
    /// Verify GPG signatures of the summary with the keys of the remote, which must be named
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        default_value_t = false,
        default_missing_value = "true"
    )]
    gpg_verify_summary: bool,
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

/// What cannot be copied.
#[derive(Debug, thiserror::Error)]
enum PullLocalError {
    /// Only the repository's own refs can be copied without being named.
    #[error("Invalid ref name {0}")]
    RefOfRemote(String),
    #[error("Must specify remote name to enable gpg verification")]
    NoRemote,
}

impl Classified for PullLocalError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl PullLocal {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let source = Repo::open_at(CWD, &self.source)?;
        if self.require_static_deltas || self.gpg_verify || self.gpg_verify_summary {
            return self.as_from_afar(&repo, &source, context);
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

    /// The other repository is read as a remote would be, of which deltas or signatures may be asked.
    fn as_from_afar(&self, repo: &Repo, source: &Repo, context: &Context) -> Result<Exit, Failure> {
        let path = self.source.canonicalize()?;
        let mut remote = Remote::find(repo, &format!("file://{}", path.display()))?;
        if let Some(name) = &self.remote {
            remote = remote.in_place_of(name);
        }
        let access = RemoteAccess::trusting(repo, self.trust(repo, context)?, None)?;
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
        options.require_deltas = self.require_static_deltas;
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

    /// As with `ostree`, only what the options ask for is verified, whatever the remote's configuration says.
    fn trust(&self, repo: &Repo, context: &Context) -> Result<Option<RemoteTrust>, Failure> {
        let policy = Policy {
            gpg: self.gpg_verify,
            gpg_summary: self.gpg_verify_summary,
            ..Policy::nothing()
        };
        if !policy.verifies_commits() && !policy.verifies_summary() {
            return Ok(None);
        }
        let name = self.remote.as_deref().ok_or(PullLocalError::NoRemote)?;
        let remote = repo
            .remote(name)
            .ok_or_else(|| RemoteError::NotFound(name.to_owned()))?;
        let stores = context.place().key_stores()?;
        Ok(Some(RemoteTrust::load(repo, &remote, policy, &stores)?))
    }

    fn revs(&self, source: &Repo) -> Result<Vec<String>, Failure> {
        if !self.refs.is_empty() {
            return Ok(self.refs.clone());
        }
        // As with `ostree`, a repository that has refs of remotes cannot be taken as a whole.
        let own = |refspec: Refspec| match refspec.remote {
            None => Ok(refspec.to_string()),
            Some(_) => Err(PullLocalError::RefOfRemote(refspec.to_string())),
        };
        let refs = source.list_refs()?.into_iter();
        let refs: Result<_, _> = refs.map(|(refspec, _)| own(refspec)).collect();
        Ok(refs?)
    }
}
