//! Carrying out a plan.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use error_class::{Classified as _, ErrorClass};
use file_contexts::Policy;
use layer::{Companion, PathPolicy};
use oci::source::{ImageSource, LayerOrigin};
use ostree::{Repo, Stats, Tree, WriteError};
use ostree_format::Checksum;
use progress::{Interrupt, Progress, Task, TaskKind};

use crate::collect::{PullLock, collect_layers};
use crate::fetch::{Fetched, Fetcher};
use crate::labels::{policy_of, policy_of_commit};
use crate::layout::LayerRole;
use crate::plan::{ImportPlan, LayerState};
use crate::query::{LayeredImageState, query_image_commit};
use crate::root_config::has_writable_root;
use crate::stored_layer::StoredLayer;
use crate::{ImportError, ImportOptions};

/// What a pull did.
#[derive(Debug)]
pub struct Imported {
    /// The image as it is stored now.
    pub state: LayeredImageState,
    /// Layers that were fetched.
    pub layers_fetched: usize,
    /// Layers that came from another store of this machine.
    pub layers_local: usize,
    /// Compressed bytes that were fetched.
    pub bytes_fetched: u64,
    /// What was written, over all layers and the merge.
    pub stats: Stats,
    /// Entries that were not kept: by layer, by top-level directory.
    pub filtered: BTreeMap<String, BTreeMap<String, u32>>,
}

impl ImportPlan {
    /// Fetch what is missing and write the merge commit.
    ///
    /// # Errors
    /// [`ImportError`]. The image's ref is untouched then; layers that were complete stay.
    pub fn import(
        self,
        repo: &Repo,
        source: &dyn ImageSource,
        options: &ImportOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Imported, ImportError> {
        self.import_beside(repo, source, options, None, progress, interrupt)
    }

    /// As [`ImportPlan::import`]; `companion` gets the layers, too, also those that are stored here already.
    ///
    /// # Errors
    /// As there.
    pub fn import_beside(
        mut self,
        repo: &Repo,
        source: &dyn ImageSource,
        options: &ImportOptions,
        companion: Option<&dyn Companion>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Imported, ImportError> {
        let lock = PullLock::hold(repo)?;
        if let Some(companion) = companion {
            self.fetch_what_lacks(companion)?;
        }
        let mut import = Import::begin(&self, repo, source, options, progress, interrupt)?;
        import.fetcher.companion = companion;
        import.fetch_base()?;
        let base = import.load_base()?;
        import.fetch_derived(base.as_ref())?;
        let commit = import.write_merge(base.map(|base| base.tree))?;
        let mut done = import.done;
        drop(lock);
        if !options.skip_collection {
            // The image is complete; that old layers stay for now is no reason to fail.
            if let Err(error) = collect_layers(repo) {
                progress.note(&format!("cannot collect unused layers: {error}"));
            }
        }
        done.filtered.retain(|_, counts| !counts.is_empty());
        Ok(Imported {
            state: query_image_commit(repo, &commit)?,
            layers_fetched: done.layers_fetched,
            layers_local: done.layers_local,
            bytes_fetched: done.bytes_fetched,
            stats: done.stats,
            filtered: done.filtered,
        })
    }
}

impl ImportPlan {
    fn fetch_what_lacks(&mut self, companion: &dyn Companion) -> Result<(), ImportError> {
        for layer in &mut self.layers {
            if !companion.has(&layer.diff_id.to_string())? {
                layer.commit = None;
            }
        }
        Ok(())
    }

    /// Fetch what is missing of the encapsulated commit, and nothing else. Its layers have refs then.
    pub(crate) fn import_base(
        &self,
        repo: &Repo,
        source: &dyn ImageSource,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Checksum, ImportError> {
        let options = ImportOptions::default();
        let mut import = Import::begin(self, repo, source, &options, progress, interrupt)?;
        import.fetch_base()?;
        let commit = import.done.commits.first().copied().flatten();
        commit.ok_or(ImportError::Planless)
    }
}

/// An import on its way.
pub(crate) struct Import<'a> {
    pub(crate) plan: &'a ImportPlan,
    pub(crate) fetcher: Fetcher<'a>,
    pub(crate) options: &'a ImportOptions,
    pub(crate) done: Outcome,
}

/// What was done so far.
pub(crate) struct Outcome {
    /// The commit of each layer.
    pub(crate) commits: Vec<Option<Checksum>>,
    /// Trees of layers that were fetched just now.
    pub(crate) trees: HashMap<usize, StoredLayer>,
    layers_fetched: usize,
    layers_local: usize,
    bytes_fetched: u64,
    pub(crate) stats: Stats,
    filtered: BTreeMap<String, BTreeMap<String, u32>>,
}

impl Outcome {
    fn new(plan: &ImportPlan) -> Self {
        Self {
            commits: plan.layers.iter().map(|layer| layer.commit).collect(),
            trees: HashMap::new(),
            layers_fetched: 0,
            layers_local: 0,
            bytes_fetched: 0,
            stats: Stats::default(),
            filtered: BTreeMap::new(),
        }
    }
}

/// The encapsulated commit that an image is based on.
struct Base {
    tree: Tree,
    policy: Option<Policy>,
    writable_root: bool,
}

impl<'a> Import<'a> {
    /// Look whether there is room, and say what is there already.
    fn begin(
        plan: &'a ImportPlan,
        repo: &'a Repo,
        source: &'a dyn ImageSource,
        options: &'a ImportOptions,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Result<Self, ImportError> {
        let fetcher = Fetcher {
            repo,
            source,
            descriptors: plan.manifest.manifest().layers(),
            progress,
            interrupt,
            stop: Interrupt::default(),
            companion: None,
        };
        let done = Outcome::new(plan);
        let import = Self {
            plan,
            fetcher,
            options,
            done,
        };
        import.check_space()?;
        import.announce_present();
        Ok(import)
    }

    fn check_space(&self) -> Result<(), ImportError> {
        let needed = self.plan.bytes_to_fetch();
        let available = self.fetcher.repo.space_left().map_err(WriteError::from)?;
        if needed > available {
            Err(ImportError::NoSpace { needed, available })
        } else {
            Ok(())
        }
    }

    fn announce_present(&self) {
        let of = self.plan.layers.len();
        for (index, layer) in self.plan.layers.iter().enumerate() {
            if layer.commit.is_some() {
                let digest = layer.digest.to_string();
                let kind = TaskKind::LayerPresent { digest, index, of };
                Task::already_done(self.fetcher.progress, kind, Some(layer.size));
            }
        }
    }

    /// Fetch the layers of the encapsulated commit. The one with the commit itself is published last, so
    /// that a commit is never there without its content.
    fn fetch_base(&mut self) -> Result<(), ImportError> {
        let paths = PathPolicy::default();
        self.fetch_all(LayerRole::Chunk, paths, None)?;
        self.fetch_all(LayerRole::Commit, paths, None)
    }

    fn load_base(&self) -> Result<Option<Base>, ImportError> {
        let first = self
            .plan
            .layers
            .first()
            .filter(|layer| layer.role == LayerRole::Commit);
        let Some(checksum) = first.and(self.done.commits.first().copied().flatten()) else {
            return Ok(None);
        };
        let repo = self.fetcher.repo;
        let commit = repo.load_commit(&checksum)?;
        let tree = repo.load_tree(&commit.contents, &commit.meta)?;
        Ok(Some(Base {
            policy: policy_of(repo, &tree)?,
            writable_root: has_writable_root(repo, &tree)?,
            tree,
        }))
    }

    fn fetch_derived(&mut self, base: Option<&Base>) -> Result<(), ImportError> {
        let mut paths = PathPolicy::default();
        // Images without an encapsulated base are taken to have a root that can be written to.
        paths.allow_nonusr = base.is_none_or(|base| base.writable_root);
        paths.retain_var = self.options.retain_var;
        let given = match (base, &self.options.policy_commit) {
            (None, Some(commit)) => policy_of_commit(self.fetcher.repo, commit)?,
            _ => None,
        };
        let policy = base.map_or(given.as_ref(), |base| base.policy.as_ref());
        self.fetch_all(LayerRole::Derived, paths, policy)
    }

    /// Fetch all missing layers of one role, several at once.
    fn fetch_all(
        &mut self,
        role: LayerRole,
        paths: PathPolicy,
        policy: Option<&Policy>,
    ) -> Result<(), ImportError> {
        let mut work: Vec<(usize, &LayerState)> = self
            .plan
            .to_fetch()
            .filter(|(_, layer)| layer.role == role)
            .collect();
        // The largest first, so that no large one is left alone at the end.
        work.sort_by_key(|(_, layer)| std::cmp::Reverse(layer.size));
        let fetched = self.fetch_parallel(&work, paths, policy)?;
        for (index, fetched) in fetched {
            self.record(index, fetched);
        }
        Ok(())
    }

    fn fetch_parallel(
        &self,
        work: &[(usize, &LayerState)],
        paths: PathPolicy,
        policy: Option<&Policy>,
    ) -> Result<Vec<(usize, Fetched)>, ImportError> {
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        let worker = || -> Result<(), ImportError> {
            while let Some((index, layer)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                let fetched = self
                    .fetcher
                    .fetch(*index, layer, paths, policy)
                    .inspect_err(|_| self.fetcher.stop.raise())?;
                let mut results = results
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                results.push((*index, fetched));
            }
            Ok(())
        };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let count = self.threads().min(work.len());
            let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
            let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
                worker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().map(join).collect()
        });
        first_cause(outcomes, self.fetcher.interrupt)?;
        Ok(results
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn threads(&self) -> usize {
        match self.options.parallel_layers {
            0 => std::thread::available_parallelism()
                .map_or(2, usize::from)
                .clamp(2, 4),
            count => count,
        }
    }

    fn record(&mut self, index: usize, fetched: Fetched) {
        let Some(layer) = self.plan.layers.get(index) else {
            return;
        };
        match fetched.origin {
            LayerOrigin::Local => self.done.layers_local += 1,
            LayerOrigin::Fetched => {
                self.done.layers_fetched += 1;
                self.done.bytes_fetched += layer.size;
            }
        }
        self.done.stats.add(&fetched.stats);
        self.done
            .filtered
            .insert(layer.digest.to_string(), fetched.filtered);
        // The same blob may stand in the image more than once.
        for (at, other) in self.plan.layers.iter().enumerate() {
            if other.digest == layer.digest {
                self.done.commits[at] = Some(fetched.commit);
                if let Some(tree) = &fetched.tree {
                    self.done.trees.insert(at, tree.clone());
                }
            }
        }
    }
}

/// The error to report when several threads stopped: not the one that only says that another failed.
fn first_cause(
    outcomes: Vec<Result<(), ImportError>>,
    interrupt: &Interrupt,
) -> Result<(), ImportError> {
    interrupt.check()?;
    let mut errors: Vec<ImportError> = outcomes.into_iter().filter_map(Result::err).collect();
    let cause = errors
        .iter()
        .position(|error| error.class() != ErrorClass::Interrupted);
    match cause {
        Some(at) => Err(errors.swap_remove(at)),
        None => errors.pop().map_or(Ok(()), Err),
    }
}
