//! One pull, from its beginning to its end.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use ostree::{Expect, Importer, Partial, Repo, Transaction, TransactionOptions};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, RepoMode};
use progress::{Interrupt, Progress, Task, TaskKind};

use crate::commits::Gate;
use crate::deltas::Deltas;
use crate::fetcher::Fetcher;
use crate::http::{Access, Line, Network};
use crate::location::Location;
use crate::places::Places;
use crate::queue::{CommitJob, Job, Queue};
use crate::refs::{Asking, ResolvedRef, Wanted};
use crate::report::Counters;
use crate::summary::SummarySource;
use crate::{Cache, Error, Options, Remote, Report, Verify, cookies};

/// What a pull needs besides its options.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// How servers are spoken to.
    pub network: &'a Network,
    /// The directory below which files and repositories of this machine are looked for.
    pub root: BorrowedFd<'a>,
    /// Where summaries are kept; `None` keeps and uses none.
    pub cache: Option<&'a Cache>,
    /// Who verifies signatures.
    pub verify: &'a dyn Verify,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Surroundings");
        shown
            .field("network", &self.network)
            .field("cache", &self.cache);
        shown.finish_non_exhaustive()
    }
}

/// Bring commits of `remote` into `repo`.
///
/// # Errors
/// [`Error`]; no ref has moved then. What was fetched is kept, and its commits are marked as partial.
pub fn pull(
    repo: &Repo,
    remote: &Remote,
    options: &Options<'_>,
    surroundings: Surroundings<'_>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Report, Error> {
    check_options(repo, options)?;
    remote.check_usable()?;
    let Surroundings { network, root, .. } = surroundings;
    let counters = Counters::default();
    let jar = cookies::list(repo.dir(), remote.name())?;
    let access = Access::new(network, remote, jar, root)?;
    let fetcher = Fetcher::new(access, network, root, interrupt, &counters.received);
    let line = fetcher.line();
    let places = Places::find(&fetcher, &line, remote, options.url.as_deref())?;
    let source = local_source(root, &places, options)?;
    let asking = Asking {
        summary: SummarySource {
            fetcher: &fetcher,
            line: &line,
            places: &places,
            cache: surroundings.cache,
            remote,
            verify: surroundings.verify,
            refuse_invalid_cache: options.refuse_invalid_cache,
        },
        fetcher: &fetcher,
        line: &line,
        metadata: &places.metadata,
        source: source.as_ref(),
        remote,
        options,
        uses_deltas: uses_deltas(repo, source.as_ref(), options),
    };
    let wanted = asking.resolve()?;
    let collection = collection(source.as_ref(), remote);
    let gate = Gate {
        repo,
        options,
        verify: surroundings.verify,
        collection: collection.as_deref(),
    };
    let mut by_delta = Report::default();
    if asking.uses_deltas {
        let deltas = Deltas {
            repo,
            fetcher: &fetcher,
            line: &line,
            content: &places.content,
            remote,
            options,
            wanted: &wanted,
            files: &counters.delta_files,
            signed_summary: surroundings.verify.demands_summary(),
        };
        by_delta = pull_deltas(&deltas, gate, progress)?;
        if options.dry_run {
            return Ok(by_delta);
        }
    }
    let txn = repo.begin(TransactionOptions::default().writing_split_xattrs())?;
    let pull = Pull {
        txn: &txn,
        source: source.as_ref(),
        fetcher: &fetcher,
        places: &places,
        options,
        gate,
        tombstones: wanted.tombstones,
        commit_sizes: &wanted.commit_sizes,
        counters: &counters,
        content_written: AtomicU64::new(0),
        queue: Queue::default(),
        commits: Mutex::default(),
    };
    let task = TaskKind::FetchObjects {
        remote: remote.name().to_owned(),
    };
    let task = Task::begin(progress, task, None);
    let threads = match &source {
        Some(_) => std::thread::available_parallelism().map_or(1, usize::from),
        None => network.connections.get(),
    };
    let fetched = pull.run(&wanted, threads, &task);
    let (commits, content_written) = match fetched {
        Ok(fetched) => fetched,
        Err(error) => {
            // What came is good, object by object; the next pull goes on from there.
            let _kept = txn.commit(progress, &Interrupt::default());
            return Err(error);
        }
    };
    task.done();
    set_refs(&txn, &wanted.refs, remote, options)?;
    txn.commit(progress, interrupt)?;
    finish(repo, &wanted, &commits, options)?;
    Ok(Report {
        content_written,
        delta_content: by_delta.delta_content,
        delta_parts: by_delta.delta_parts,
        ..counters.report(source.is_some())
    })
}

/// Bring what static deltas bring, in a transaction of its own: the rest then finds it here.
fn pull_deltas(
    deltas: &Deltas<'_>,
    gate: Gate<'_>,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let mut report = Report::default();
    let chosen = deltas.choose()?;
    if deltas.options.dry_run {
        deltas.estimate(&chosen, &mut report)?;
        return Ok(report);
    }
    if chosen.is_empty() {
        return Ok(report);
    }
    let txn = deltas.repo.begin(TransactionOptions::default())?;
    let task = TaskKind::FetchObjects {
        remote: deltas.remote.name().to_owned(),
    };
    let task = Task::begin(progress, task, None);
    for one in &chosen {
        report.delta_parts += deltas.apply(&txn, one, gate)?;
        task.advance(1);
    }
    task.done();
    let stats = txn.commit(progress, deltas.fetcher.interrupt)?;
    report.delta_content = stats.content_bytes;
    Ok(report)
}

fn check_options(repo: &Repo, options: &Options<'_>) -> Result<(), Error> {
    if options.dry_run && !options.require_deltas {
        return Err(Error::DryRun);
    }
    if options.require_deltas && repo.mode() == RepoMode::Archive {
        return Err(Error::DeltasIntoArchive);
    }
    Ok(())
}

/// The remote, when it is on this machine. Where static deltas are required, its files are read as those of
/// a server would be.
fn local_source(
    root: BorrowedFd<'_>,
    places: &Places,
    options: &Options<'_>,
) -> Result<Option<Repo>, Error> {
    match places.metadata.first() {
        Some(Location::Dir(path)) if !options.require_deltas => {
            Ok(Some(Repo::open_at(root, path)?))
        }
        _ => Ok(None),
    }
}

fn uses_deltas(repo: &Repo, source: Option<&Repo>, options: &Options<'_>) -> bool {
    let wanted = !options.no_deltas && !options.commit_only;
    wanted && source.is_none() && repo.mode() != RepoMode::Archive
}

fn collection(source: Option<&Repo>, remote: &Remote) -> Option<String> {
    match source {
        Some(source) => own_collection(source),
        None => remote.collection().map(ToOwned::to_owned),
    }
}

fn own_collection(repo: &Repo) -> Option<String> {
    let id = repo.config().file.get("core", "collection-id");
    id.filter(|id| !id.is_empty())
}

fn set_refs(
    txn: &Transaction<'_>,
    refs: &[ResolvedRef],
    remote: &Remote,
    options: &Options<'_>,
) -> Result<(), Error> {
    let own = own_collection(txn.repo());
    for found in refs {
        let name = found.name.clone();
        match found
            .collection
            .as_ref()
            .filter(|id| Some(*id) != own.as_ref())
        {
            Some(collection) if options.mirror => {
                txn.set_mirror_ref(collection, name, found.commit)?;
            }
            _ => {
                let remote = if options.mirror {
                    None
                } else {
                    remote.refs_of()
                };
                let refspec = Refspec { remote, name };
                if txn.repo().read_ref(&refspec)? != Some(found.commit) {
                    txn.set_ref(refspec, Expect::Any, Some(found.commit));
                }
            }
        }
    }
    Ok(())
}

/// After the refs have moved: marks of commits that are whole now, and the summary of a mirror of all.
fn finish(
    repo: &Repo,
    wanted: &Wanted,
    commits: &[Checksum],
    options: &Options<'_>,
) -> Result<(), Error> {
    if options.subpaths.is_empty() && !options.commit_only {
        for commit in commits {
            if repo.partial(commit)? == Some(Partial::Fetch) || repo.is_partial(commit)? {
                repo.set_partial(commit, None)?;
            }
        }
    }
    let mirrors_all = options.mirror && options.refs.is_empty() && options.commits.is_empty();
    if let (true, Some(summary)) = (mirrors_all, &wanted.files.summary) {
        // The signatures go first: better none than those of something else.
        durable::remove_all(repo.dir(), Path::new("summary.sig"))?;
        durable::publish(repo.dir(), Path::new("summary"), summary, 0o644)?;
        if let Some(signatures) = &wanted.files.signatures {
            durable::publish(repo.dir(), Path::new("summary.sig"), signatures, 0o644)?;
        }
    }
    Ok(())
}

/// What all threads of a pull share.
pub(crate) struct Pull<'a> {
    pub(crate) txn: &'a Transaction<'a>,
    /// The remote, when it is on this machine.
    pub(crate) source: Option<&'a Repo>,
    pub(crate) fetcher: &'a Fetcher<'a>,
    pub(crate) places: &'a Places,
    pub(crate) options: &'a Options<'a>,
    pub(crate) gate: Gate<'a>,
    pub(crate) tombstones: bool,
    pub(crate) commit_sizes: &'a HashMap<Checksum, u64>,
    pub(crate) counters: &'a Counters,
    pub(crate) content_written: AtomicU64,
    pub(crate) queue: Queue,
    /// Commits that were looked at.
    pub(crate) commits: Mutex<Vec<Checksum>>,
}

impl<'a> Pull<'a> {
    /// Do everything that is left to do; which commits were looked at, and how much content was written.
    fn run(
        self,
        wanted: &Wanted,
        threads: usize,
        task: &Task<'_>,
    ) -> Result<(Vec<Checksum>, u64), Error> {
        let refs = wanted
            .refs
            .iter()
            .map(|found| (found.commit, Some(&found.name)));
        let bare = self.options.commits.iter().map(|commit| (*commit, None));
        self.queue.add(refs.chain(bare).map(|(checksum, name)| {
            Job::Commit(CommitJob {
                checksum,
                wanted_by: name.cloned(),
                depth: self.options.depth,
                ancestor: false,
            })
        }));
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| self.work(task));
            }
        });
        self.queue.finish()?;
        let commits = self
            .commits
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        Ok((commits, self.content_written.into_inner()))
    }

    fn work(&self, task: &Task<'_>) {
        let line = self.fetcher.line();
        while let Some(job) = self.queue.next() {
            let result = self.fetcher.interrupt.check().map_err(Error::from);
            self.queue.done(result.and_then(|()| self.job(&line, job)));
            task.advance(1);
        }
    }

    fn job(&self, line: &Line, job: Job) -> Result<(), Error> {
        match job {
            Job::Commit(commit) => self.commit(line, &commit),
            Job::Tree(tree) => self.tree(line, &tree),
            Job::Meta(checksum) => self.meta(line, checksum),
            Job::File(checksum) => self.file(line, checksum),
        }
    }

    pub(crate) fn importer(&self, source: &'a Repo) -> Importer<'a> {
        Importer::new(self.txn, source)
            .untrusted(self.options.untrusted)
            .user_only_files(self.options.user_only_files)
    }
}
