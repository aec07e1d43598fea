//! What is left to do, shared by several threads. Metadata goes first, since it leads to more; the last that
//! was found goes first among its kind, which keeps the queue short.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ostree::Depth;
use ostree_format::refs::RefName;
use ostree_format::{Checksum, ObjectName};

use crate::Error;

/// A commit that is to come.
#[derive(Debug, Clone)]
pub(crate) struct CommitJob {
    pub(crate) checksum: Checksum,
    /// The ref that it was asked for by.
    pub(crate) wanted_by: Option<RefName>,
    pub(crate) depth: Depth,
    /// Whether it comes only because a descendant named it.
    pub(crate) ancestor: bool,
}

/// A directory that is to come.
#[derive(Debug, Clone)]
pub(crate) struct TreeJob {
    pub(crate) checksum: Checksum,
    /// Where it lies, ending in a slash; empty unless only some paths are wanted.
    pub(crate) path: String,
    /// How many directories lie above it.
    pub(crate) level: usize,
}

/// Something to do.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    Commit(CommitJob),
    Tree(TreeJob),
    Meta(Checksum),
    File(Checksum),
}

#[derive(Debug, Default)]
struct State {
    metadata: Vec<Job>,
    files: Vec<Checksum>,
    /// Everything that was ever added, with the path where that matters.
    seen: HashSet<(ObjectName, String)>,
    active: usize,
    failure: Option<Error>,
    closed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Add jobs, each only once.
    pub(crate) fn add(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut state = self.lock();
        for job in jobs {
            if !state.seen.insert(key(&job)) {
                continue;
            }
            match job {
                Job::File(checksum) => state.files.push(checksum),
                other => state.metadata.push(other),
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The next job; `None` when all is done or something failed. [`Queue::done`] must follow.
    pub(crate) fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            let job = state.metadata.pop();
            let job = job.or_else(|| state.files.pop().map(Job::File));
            if job.is_some() {
                state.active += 1;
                return job;
            }
            if state.active == 0 {
                state.closed = true;
                self.changed.notify_all();
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A job is over. After the first failure nothing is begun any more.
    pub(crate) fn done(&self, result: Result<(), Error>) {
        let mut state = self.lock();
        state.active -= 1;
        let idle = state.active == 0 && state.metadata.is_empty() && state.files.is_empty();
        if let Err(error) = result {
            state.closed = true;
            state.failure.get_or_insert(error);
        }
        let wake = idle || state.closed;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// What went wrong first.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        state.failure.map_or(Ok(()), Err)
    }
}

fn key(job: &Job) -> (ObjectName, String) {
    use ostree_format::ObjectKind::{Commit, DirMeta, DirTree, File};
    let (checksum, kind, path) = match job {
        Job::Commit(job) => (job.checksum, Commit, String::new()),
        Job::Tree(job) => (job.checksum, DirTree, job.path.clone()),
        Job::Meta(checksum) => (*checksum, DirMeta, String::new()),
        Job::File(checksum) => (*checksum, File, String::new()),
    };
    (ObjectName::new(checksum, kind), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(byte: u8) -> Job {
        Job::File(Checksum::from_array([byte; 32]))
    }

    #[test]
    fn each_job_comes_once_and_then_all_are_told() {
        let queue = Queue::default();
        queue.add([file(1), file(2), file(1)]);
        let count = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some(job) = queue.next() {
                        // A job that is found by another one is done, too.
                        if let Job::File(checksum) = job
                            && checksum.as_bytes()[0] == 1
                        {
                            queue.add([file(3), file(2)]);
                        }
                        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        queue.done(Ok(()));
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 3);
        assert!(queue.finish().is_ok());
    }

    #[test]
    fn the_first_failure_ends_it() {
        let queue = Queue::default();
        queue.add([file(1), file(2)]);
        assert!(queue.next().is_some());
        queue.done(Err(Error::NoDeltas));
        assert!(queue.next().is_none());
        assert!(matches!(queue.finish(), Err(Error::NoDeltas)));
    }
}
