//! Writing a directory of a file system as a tree of objects, by several threads.
//!
//! One thread walks the directories and hands the files over; the others read, hash and write them.
//! Results are those of `ostree commit --tree=dir=`, object for object.

mod again;
mod apply;
mod devino;
mod error;
mod file;
mod options;
mod scan;
mod unwritten;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use ostree_format::Checksum;
use progress::{Interrupt, Progress, Task, TaskKind};
use tree::{Dir, Node};

pub use devino::DevInoCache;
pub use error::CommitDirError;
pub use options::{CommitDirOptions, LabelledPath, Unmatched};
pub use unwritten::{DirectoryObjects, DirectoryScan};

use crate::{Transaction, Tree};

/// How many files may wait for a thread; each keeps the descriptor of its directory open.
const WAITING: usize = 256;

/// A file that waits to be written.
struct Job {
    dir: Arc<OwnedFd>,
    name: PathBuf,
    /// The path in the tree, with a leading slash.
    path: PathBuf,
    /// Where the result belongs.
    slot: usize,
}

/// What was written.
#[derive(Debug)]
pub struct CommittedDir {
    /// The tree; its root's dirmeta is written, its dirtrees are not: it may still be laid over others.
    pub tree: Tree,
    /// Files whose checksum came from the cache of devices and inodes.
    pub devino_hits: u64,
    /// What the options named that was not there.
    pub unmatched: Unmatched,
}

/// The tree before its files have checksums.
type Skeleton = Dir<Checksum, usize>;

impl Transaction<'_> {
    /// Write everything below the directory `source`.
    ///
    /// # Errors
    /// [`CommitDirError`] names the path; the transaction cannot be committed then. Nothing in
    /// `source` is changed.
    pub fn write_directory(
        &self,
        source: BorrowedFd<'_>,
        options: &CommitDirOptions<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<CommittedDir, CommitDirError> {
        self.write_directory_inner(source, options, progress, interrupt)
            .inspect_err(|_| self.poison())
    }

    /// Write a tree of a commit again, changed as `options` say; unchanged files keep their objects.
    ///
    /// # Errors
    /// [`CommitDirError`] names the path; the transaction cannot be committed then.
    pub fn write_tree_again(
        &self,
        tree: Tree,
        options: &CommitDirOptions<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<CommittedDir, CommitDirError> {
        let task = Task::begin(progress, TaskKind::CopyFiles, None);
        let shared = Shared::new(self, options, interrupt, &task, None);
        let tree = shared.again(tree, Path::new(""));
        let tree = tree.inspect_err(|_| self.poison())?;
        let unmatched = options.unmatched(&shared.lock(&shared.applied));
        task.done();
        Ok(CommittedDir {
            tree,
            devino_hits: 0,
            unmatched,
        })
    }

    fn write_directory_inner(
        &self,
        source: BorrowedFd<'_>,
        options: &CommitDirOptions<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<CommittedDir, CommitDirError> {
        let task = Task::begin(progress, TaskKind::CopyFiles, None);
        let (sender, receiver) = sync_channel(WAITING);
        let shared = Shared::new(self, options, interrupt, &task, Some(receiver));
        let skeleton = std::thread::scope(|scope| {
            for _ in 0..options.thread_count() {
                scope.spawn(|| shared.work());
            }
            let scanned = shared.scan(source, &sender);
            // Without a sender the threads end when everything is taken.
            drop(sender);
            scanned
        });
        // What a worker says is the cause; the walk only finds that nobody takes its files.
        if let Some(error) = shared.lock(&shared.failed).take() {
            return Err(error);
        }
        let tree = fill(skeleton?, &shared.lock(&shared.results));
        let unmatched = options.unmatched(&shared.lock(&shared.applied));
        let devino_hits = *shared.lock(&shared.hits);
        task.done();
        Ok(CommittedDir {
            tree,
            devino_hits,
            unmatched,
        })
    }
}

/// What the threads share.
struct Shared<'a, 'o> {
    txn: &'a Transaction<'a>,
    options: &'a CommitDirOptions<'o>,
    interrupt: &'a Interrupt,
    task: &'a Task<'a>,
    /// `None` after a failure: then nobody waits for anybody.
    jobs: Mutex<Option<Receiver<Job>>>,
    results: Mutex<Vec<Option<Checksum>>>,
    failed: Mutex<Option<CommitDirError>>,
    hits: Mutex<u64>,
    /// Paths of the options that were met.
    applied: Mutex<options::Applied>,
}

impl<'a, 'o> Shared<'a, 'o> {
    fn new(
        txn: &'a Transaction<'a>,
        options: &'a CommitDirOptions<'o>,
        interrupt: &'a Interrupt,
        task: &'a Task<'a>,
        jobs: Option<Receiver<Job>>,
    ) -> Self {
        Self {
            txn,
            options,
            interrupt,
            task,
            jobs: Mutex::new(jobs),
            results: Mutex::default(),
            failed: Mutex::default(),
            hits: Mutex::default(),
            applied: Mutex::default(),
        }
    }
}

impl Shared<'_, '_> {
    fn lock<'m, T>(&self, mutex: &'m Mutex<T>) -> std::sync::MutexGuard<'m, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut buffer = Vec::new();
        while let Some(job) = self.next() {
            let written = self.interrupt.check().map_err(CommitDirError::from);
            match written.and_then(|()| self.file(&job, &mut buffer)) {
                Ok(checksum) => self.store(job.slot, checksum),
                Err(error) => {
                    self.lock(&self.failed).get_or_insert(error);
                    // Nobody receives any more, so the walk stops, too.
                    *self.lock(&self.jobs) = None;
                }
            }
            self.task.advance(1);
        }
    }

    fn next(&self) -> Option<Job> {
        self.lock(&self.jobs).as_ref()?.recv().ok()
    }

    fn store(&self, slot: usize, checksum: Checksum) {
        let mut results = self.lock(&self.results);
        if results.len() <= slot {
            results.resize(slot + 1, None);
        }
        results[slot] = Some(checksum);
    }

    fn hand_over(&self, job: Job, jobs: &SyncSender<Job>) -> Result<(), CommitDirError> {
        let path = job.path.clone();
        jobs.send(job).map_err(|_| CommitDirError::Stopped { path })
    }
}

/// Put the checksums in their places.
fn fill(skeleton: Skeleton, results: &[Option<Checksum>]) -> Tree {
    let mut tree = Dir::new(skeleton.meta);
    for (name, node) in skeleton.children {
        let node = match node {
            Node::Dir(dir) => Some(Node::Dir(fill(dir, results))),
            Node::Leaf(slot) => results.get(slot).copied().flatten().map(Node::Leaf),
        };
        tree.children.extend(node.map(|node| (name, node)));
    }
    tree
}

/// A path for messages and for the options: `/` for the root, else with a leading slash.
fn shown(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new("/")
    } else {
        path
    }
}
