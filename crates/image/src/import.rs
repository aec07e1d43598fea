//! Carrying out a plan.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use error_class::{Classified, ErrorClass};
use file_contexts::Policy;
use layer::{LayerError, PathPolicy};
use oci::digest::Digest;
use oci::reference::ImageReference;
use oci::source::{Error as SourceError, ImageSource};
use ostree::{Expect, ReadError, Repo, Stats, TransactionOptions, Tree, WriteError};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Commit, Metadata};
use progress::{Interrupt, Interrupted, Progress, Task, TaskKind};

use crate::collect::{PullLock, collect_layers};
use crate::fetch::{Fetched, Fetcher};
use crate::keys::{META_CONFIG, META_MANIFEST, META_MANIFEST_DIGEST};
use crate::labels::{PolicyError, policy_of};
use crate::layout::LayerRole;
use crate::merge::{MergeError, merge};
use crate::plan::{ImportPlan, LayerState};
use crate::query::{LayeredImageState, QueryError, query_image_commit};
use crate::refs::{RefNameError, ref_for_digest, ref_for_image};
use crate::relabel::relabel;
use crate::root_config::has_writable_root;
use crate::stored_layer::StoredLayer;

/// Choices of a pull.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Store the image under this name instead of the one it is fetched by.
    pub target: Option<ImageReference>,
    /// Write no ref for the image: only its layers stay, until somebody collects them.
    pub no_imgref: bool,
    /// Refuse images that are not labelled as bootable, or are for another processor.
    pub require_bootable: bool,
    /// Fetch nothing.
    pub offline: bool,
    /// Keep layers that no image needs any more.
    pub skip_collection: bool,
    /// The commit whose policy labels the layers of images without an encapsulated base.
    pub policy_commit: Option<Checksum>,
    /// Keep `/var`; see [`PathPolicy::retain_var`].
    pub retain_var: bool,
    /// How many layers are fetched at once; 0 is one per processor, but at least two and at most four.
    pub parallel_layers: usize,
    /// The time of the merge commit when the image does not say when it was created, in seconds since 1970.
    pub now: u64,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            target: None,
            no_imgref: false,
            require_bootable: false,
            offline: false,
            skip_collection: false,
            policy_commit: None,
            retain_var: true,
            parallel_layers: 0,
            now: 0,
        }
    }
}

/// What a pull did.
#[derive(Debug)]
pub struct Imported {
    /// The image as it is stored now.
    pub state: LayeredImageState,
    /// Layers that were fetched.
    pub layers_fetched: usize,
    /// Compressed bytes that were fetched.
    pub bytes_fetched: u64,
    /// What was written, over all layers and the merge.
    pub stats: Stats,
    /// Entries that were not kept: by layer, by top-level directory.
    pub filtered: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Why a plan was not carried out. Layers that were complete are stored and not fetched again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A layer is damaged or holds what cannot be stored.
    #[error("layer {digest}: {source}")]
    Layer {
        /// The layer.
        digest: Digest,
        /// What is wrong.
        source: Box<LayerError>,
    },
    /// A layer could not be fetched whole.
    #[error("layer {digest}: {source}")]
    Blob {
        /// The layer.
        digest: Digest,
        /// What is wrong.
        source: Box<SourceError>,
    },
    /// The image or its registry.
    #[error(transparent)]
    Source(#[from] Box<SourceError>),
    /// The layers do not give a tree.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// The image's SELinux policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is not enough space for what is to be fetched.
    #[error(
        "not enough space: {needed} bytes are to be fetched, {available} bytes are available above the \
         repository's reserve; free some space, for example by removing images"
    )]
    NoSpace {
        /// Compressed bytes to fetch.
        needed: u64,
        /// Bytes that may be written.
        available: u64,
    },
    /// The repository did not take something.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something that is stored cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What was written cannot be described.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The image has a name that no ref can have.
    #[error(transparent)]
    Name(#[from] RefNameError),
    /// The plan does not belong to the image.
    #[error("the plan does not fit the image's manifest")]
    Planless,
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl ImportError {
    pub(crate) fn layer(digest: &Digest, source: LayerError) -> Self {
        Self::Layer {
            digest: digest.clone(),
            source: Box::new(source),
        }
    }

    pub(crate) fn blob(digest: &Digest, source: SourceError) -> Self {
        Self::Blob {
            digest: digest.clone(),
            source: Box::new(source),
        }
    }
}

impl Classified for ImportError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Layer { source, .. } => source.class(),
            Self::Blob { source, .. } | Self::Source(source) => source.class(),
            Self::Merge(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::Write(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Query(error) => error.class(),
            Self::Name(error) => error.class(),
            Self::Planless => ErrorClass::InvalidInput,
            Self::Interrupted(error) => error.class(),
        }
    }
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
        let lock = PullLock::hold(repo)?;
        let descriptors = self.manifest.manifest().layers();
        let fetcher = Fetcher {
            repo,
            source,
            descriptors,
            progress,
            interrupt,
            stop: Interrupt::default(),
        };
        let mut import = Import {
            plan: &self,
            fetcher,
            options,
            done: Outcome::new(&self),
        };
        import.check_space()?;
        import.announce_present();
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
            bytes_fetched: done.bytes_fetched,
            stats: done.stats,
            filtered: done.filtered,
        })
    }
}

/// An import on its way.
struct Import<'a> {
    plan: &'a ImportPlan,
    fetcher: Fetcher<'a>,
    options: &'a ImportOptions,
    done: Outcome,
}

/// What was done so far.
struct Outcome {
    /// The commit of each layer.
    commits: Vec<Option<Checksum>>,
    /// Trees of layers that were fetched just now.
    trees: HashMap<usize, StoredLayer>,
    layers_fetched: usize,
    bytes_fetched: u64,
    stats: Stats,
    filtered: BTreeMap<String, BTreeMap<String, u32>>,
}

impl Outcome {
    fn new(plan: &ImportPlan) -> Self {
        Self {
            commits: plan.layers.iter().map(|layer| layer.commit).collect(),
            trees: HashMap::new(),
            layers_fetched: 0,
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

impl Import<'_> {
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
            (None, Some(commit)) => {
                let repo = self.fetcher.repo;
                let commit = repo.load_commit(commit)?;
                policy_of(repo, &repo.load_tree(&commit.contents, &commit.meta)?)?
            }
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
        self.done.layers_fetched += 1;
        self.done.bytes_fetched += layer.size;
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

    /// The layers above the base, with their trees.
    fn derived_layers(&mut self) -> Result<Vec<(usize, StoredLayer)>, ImportError> {
        let mut layers = Vec::new();
        for (index, layer) in self.plan.layers.iter().enumerate() {
            if layer.role != LayerRole::Derived {
                continue;
            }
            let stored = match self.done.trees.remove(&index) {
                Some(tree) => tree,
                None => {
                    let commit = self.done.commits[index].ok_or(ImportError::Planless)?;
                    StoredLayer::load(self.fetcher.repo, &commit)?
                }
            };
            layers.push((index, stored));
        }
        Ok(layers)
    }

    fn write_merge(&mut self, base: Option<Tree>) -> Result<Checksum, ImportError> {
        let (repo, progress) = (self.fetcher.repo, self.fetcher.progress);
        let task = Task::begin(
            progress,
            TaskKind::Merge,
            Some(self.plan.layers.len() as u64),
        );
        let parent = base
            .as_ref()
            .and(self.done.commits.first().copied().flatten());
        let layers = self.derived_layers()?;
        let digests = |index: usize| &self.plan.layers[index].digest;
        let numbered = layers
            .iter()
            .map(|(index, stored)| (digests(*index), stored.clone()));
        let mut merged = merge(repo, base, numbered)?;
        let txn = repo.begin(TransactionOptions::default())?;
        if !layers.is_empty()
            && let Some(policy) = policy_of(repo, &merged)?
        {
            self.relabel(&txn, &policy, &mut merged, layers)?;
        }
        let contents = txn.write_tree(&merged)?;
        let commit = txn.write_commit(&self.merge_commit(parent, contents, merged.meta))?;
        self.set_refs(&txn, commit)?;
        let stats = txn.commit(progress, self.fetcher.interrupt)?;
        self.done.stats.add(&stats);
        task.done();
        Ok(commit)
    }

    /// Label the merged tree by its own policy, and the layers with it, so that they share objects.
    fn relabel(
        &self,
        txn: &ostree::Transaction<'_>,
        policy: &Policy,
        merged: &mut Tree,
        mut layers: Vec<(usize, StoredLayer)>,
    ) -> Result<(), ImportError> {
        let mut trees = vec![merged];
        trees.extend(layers.iter_mut().map(|(_, stored)| &mut stored.tree));
        relabel(
            txn,
            policy,
            &mut trees,
            self.fetcher.progress,
            self.fetcher.interrupt,
        )?;
        for (index, stored) in layers {
            let commit = stored.write(txn)?;
            let refspec = Refspec::local(ref_for_digest(&self.plan.layers[index].digest)?);
            txn.set_ref(refspec, Expect::Any, Some(commit));
        }
        Ok(())
    }

    fn merge_commit(&self, parent: Option<Checksum>, contents: Checksum, meta: Checksum) -> Commit {
        // In the order of the existing importer, which sorts them.
        let mut metadata = Metadata::new();
        metadata.insert(META_CONFIG, self.plan.config.canonical());
        metadata.insert(META_MANIFEST, self.plan.manifest.canonical());
        metadata.insert(
            META_MANIFEST_DIGEST,
            self.plan.manifest.digest().to_string(),
        );
        Commit {
            metadata,
            parent,
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: self.timestamp(),
            contents,
            meta,
        }
    }

    /// When the image was created, by its manifest or its config.
    fn timestamp(&self) -> u64 {
        let annotations = self.plan.manifest.manifest().annotations().as_ref();
        annotations
            .and_then(|annotations| annotations.get("org.opencontainers.image.created"))
            .or(self.plan.config.config().created().as_ref())
            .and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok())
            .and_then(|time| u64::try_from(time.timestamp()).ok())
            .unwrap_or(self.options.now)
    }

    fn set_refs(&self, txn: &ostree::Transaction<'_>, commit: Checksum) -> Result<(), ImportError> {
        // Layers that were found under another digest get a ref of their own.
        for (layer, stored) in self.plan.layers.iter().zip(&self.done.commits) {
            let refspec = Refspec::local(ref_for_digest(&layer.digest)?);
            let present = self
                .fetcher
                .repo
                .read_ref(&refspec)
                .map_err(WriteError::from)?;
            if present.is_none() {
                txn.set_ref(refspec, Expect::Any, *stored);
            }
        }
        if !self.options.no_imgref {
            let refspec = Refspec::local(ref_for_image(&self.plan.stored_as)?);
            txn.set_ref(refspec, Expect::Any, Some(commit));
        }
        Ok(())
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
