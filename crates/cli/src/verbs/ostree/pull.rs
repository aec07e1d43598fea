//! `bootroot ostree pull`

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::Repo;
use ostree_format::Checksum;
use ostree_format::refs::{RefName, Refspec};
use pull::{Options, Remote, Report, WantedRef};
use rustix::fs::CWD;

use super::remote_access::{RemoteAccess, seconds};
use super::{prune, sizes};
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Download data from a remote repository
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "one for each flag of the command line"
)]
pub(crate) struct Pull {
    /// Only the commit itself, without its files
    #[arg(long)]
    commit_metadata_only: bool,
    /// Keep summaries in DIR
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Do not sync what is written
    #[arg(long)]
    disable_fsync: bool,
    /// Accepted for compatibility: objects are synced together, which stalls nobody for long
    #[arg(long)]
    per_object_fsync: bool,
    /// Fetch every object by itself
    #[arg(long)]
    disable_static_deltas: bool,
    /// Require static deltas
    #[arg(long)]
    require_static_deltas: bool,
    /// Do not try again after network failures
    #[arg(long)]
    disable_retry_on_network_errors: bool,
    /// Keep the names of refs, and fetch all of them when none are named
    #[arg(long)]
    mirror: bool,
    /// Fetch only what lies at or below PATH
    #[arg(long, value_name = "PATH")]
    subpath: Vec<String>,
    /// Verify checksums of what comes from this machine, too
    #[arg(long)]
    untrusted: bool,
    /// Do not verify checksums of what comes from a server, when mirroring into an archive
    #[arg(long)]
    http_trusted: bool,
    /// Reject regular files with modes that bare-user-only repositories cannot hold
    #[arg(long)]
    bareuseronly_files: bool,
    /// Only print what static deltas would cost (needs --require-static-deltas)
    #[arg(long)]
    dry_run: bool,
    /// Traverse DEPTH parents; -1 is all
    #[arg(
        long,
        value_name = "DEPTH",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    depth: i32,
    /// Fetch from URL instead of the address in the remote's configuration
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Send a header with every request
    #[arg(long, value_name = "NAME=VALUE")]
    http_header: Vec<String>,
    /// Accepted for compatibility: progress is drawn as it comes
    #[arg(long, value_name = "MILLISECONDS")]
    update_frequency: Option<i64>,
    /// Try each request again so often [default: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    network_retries: Option<i64>,
    /// Accepted for compatibility: a connection on which nothing comes at all is given up
    #[arg(long, value_name = "N")]
    low_speed_limit_bytes: Option<i64>,
    /// Give up a connection on which nothing comes for so long [default: 30]
    #[arg(long, value_name = "SECONDS")]
    low_speed_time_seconds: Option<i64>,
    /// How many requests run at the same time [default: 8]
    #[arg(long, value_name = "N")]
    max_outstanding_fetcher_requests: Option<usize>,
    /// Take objects that REPO has from there
    #[arg(short = 'L', long, value_name = "REPO")]
    localcache_repo: Vec<PathBuf>,
    /// Require commits that are not older than what their refs are now
    #[arg(short = 'T', long)]
    timestamp_check: bool,
    /// Require commits that are not older than REV
    #[arg(long, value_name = "REV")]
    timestamp_check_from_rev: Option<String>,
    /// Do not verify that commits say that they belong to the refs
    #[arg(long)]
    disable_verify_bindings: bool,
    /// Tell servers so, too
    #[arg(long, value_name = "TEXT", hide = true)]
    append_user_agent: Option<String>,
    /// The remote, REMOTE:BRANCH, or a file:// URL
    #[arg(value_name = "REMOTE")]
    remote: String,
    /// Refs, or checksums of commits; BRANCH@COMMIT says what the ref shall be
    #[arg(value_name = "BRANCH[@COMMIT]")]
    branches: Vec<String>,
}

/// An option cannot be understood.
#[derive(Debug, thiserror::Error)]
enum UsageError {
    #[error("Missing '=' in --http-header")]
    Header,
    #[error("{0:?} cannot be sent as an HTTP header")]
    BadHeader(String),
}

impl Classified for UsageError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

/// What is asked for.
#[derive(Debug, Default)]
struct Asked {
    refs: Vec<WantedRef>,
    commits: Vec<Checksum>,
}

impl Pull {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = context.place().open_repository()?;
        if self.disable_fsync {
            repo.disable_fsync();
        }
        let (name, asked) = self.asked()?;
        let remote = Remote::find(&repo, &name)?;
        let access = self.access(context, &repo, &remote)?;
        let caches = self.local_caches()?;
        let options = self.options(&repo, asked, &caches)?;
        let begun = Instant::now();
        let report = pull::pull(
            &repo,
            &remote,
            &options,
            access.surroundings(),
            context.progress(),
            context.interrupt(),
        )?;
        let text = if self.dry_run {
            cost(&report)
        } else {
            summary(&report, begun.elapsed().as_secs())
        };
        let mut out = context.results();
        writeln!(out, "{text}")?;
        out.finish()?;
        Ok(Exit::Done)
    }

    /// The remote's name, and what is asked for.
    fn asked(&self) -> Result<(String, Asked), Failure> {
        let is_url = self.remote.contains("://");
        let mut asked = Asked::default();
        if let (false, Some((remote, branch))) = (is_url, self.remote.split_once(':')) {
            let refspec: Refspec = self.remote.parse()?;
            match branch.parse() {
                Ok(commit) => asked.commits.push(commit),
                Err(_) => asked.refs.push(WantedRef {
                    name: refspec.name,
                    commit: None,
                }),
            }
            return Ok((remote.to_owned(), asked));
        }
        for branch in &self.branches {
            if let Ok(commit) = branch.parse() {
                asked.commits.push(commit);
                continue;
            }
            let (name, commit) = match branch.rsplit_once('@') {
                Some((name, commit)) => (name, Some(commit.parse::<Checksum>()?)),
                None => (branch.as_str(), None),
            };
            let name: RefName = name.parse()?;
            asked.refs.push(WantedRef { name, commit });
        }
        Ok((self.remote.clone(), asked))
    }

    fn access(
        &self,
        context: &Context,
        repo: &Repo,
        remote: &Remote,
    ) -> Result<RemoteAccess, Failure> {
        let cache = self.cache_dir.as_deref();
        let mut access = RemoteAccess::new(context.place(), repo, remote, cache)?;
        let network = &mut access.network;
        if let Some(retries) = self
            .network_retries
            .and_then(|retries| u32::try_from(retries).ok())
        {
            network.retries = retries;
        }
        if self.disable_retry_on_network_errors {
            network.retries = 0;
        }
        if let Some(stall) = self.low_speed_time_seconds.and_then(seconds) {
            network.stall = stall;
        }
        if let Some(connections) = self
            .max_outstanding_fetcher_requests
            .and_then(NonZeroUsize::new)
        {
            network.connections = connections;
        }
        if let Some(more) = &self.append_user_agent {
            network.user_agent = format!("{} {more}", network.user_agent);
        }
        for header in &self.http_header {
            let (name, value) = header.split_once('=').ok_or(UsageError::Header)?;
            let token = |b: u8| b.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&b);
            let sendable = !name.is_empty() && name.bytes().all(token);
            if !sendable || value.chars().any(char::is_control) {
                return Err(UsageError::BadHeader(header.clone()).into());
            }
            network.headers.push((name.to_owned(), value.to_owned()));
        }
        Ok(access)
    }

    fn local_caches(&self) -> Result<Vec<Repo>, Failure> {
        let open = |path: &PathBuf| Repo::open_at(CWD, path).map_err(Failure::from);
        self.localcache_repo.iter().map(open).collect()
    }

    fn options<'a>(
        &self,
        repo: &Repo,
        asked: Asked,
        local_caches: &'a [Repo],
    ) -> Result<Options<'a>, Failure> {
        let from = self.timestamp_check_from_rev.as_ref();
        let mut options = Options::default();
        options.refs = asked.refs;
        options.commits = asked.commits;
        options.depth = prune::depth(self.depth);
        options.mirror = self.mirror;
        options.commit_only = self.commit_metadata_only;
        options.subpaths.clone_from(&self.subpath);
        options.untrusted = self.untrusted;
        options.http_trusted = self.http_trusted && !self.untrusted;
        options.user_only_files = self.bareuseronly_files;
        options.verify_bindings = !self.disable_verify_bindings;
        options.timestamp_check = self.timestamp_check;
        options.timestamp_check_from = from.map(|rev| repo.resolve(rev)).transpose()?;
        options.url.clone_from(&self.url);
        options.local_caches = local_caches;
        options.no_deltas = self.disable_static_deltas;
        options.require_deltas = self.require_static_deltas;
        options.dry_run = self.dry_run;
        options.refuse_invalid_cache = environment::refuses_invalid_cache();
        Ok(options)
    }
}

/// What was done, in the words of `ostree pull`.
pub(super) fn summary(report: &Report, seconds: u64) -> String {
    let mut text = report.to_string();
    if !report.local && report.transferred > 0 {
        let (count, unit) = match report.transferred {
            bytes @ ..1024 => (bytes, "B"),
            bytes => (bytes / 1024, "KiB"),
        };
        text += &format!("; {count} {unit} transferred in {seconds} seconds");
    }
    text + &format!("; {} content written", sizes::human(report.content_written))
}

/// What static deltas would cost, in the words of `ostree pull --dry-run`.
fn cost(report: &Report) -> String {
    format!(
        "Delta update: {}/{} parts, {}/{}, {} total uncompressed",
        report.delta_parts,
        report.delta_parts_total,
        sizes::human(report.delta_bytes_here),
        sizes::human(report.delta_bytes),
        sizes::human(report.delta_bytes_unpacked),
    )
}
