//! The walk over the directories of a tree, by several threads.
//!
//! Directories wait on a stack; a thread takes one, makes it, links its files and puts its
//! subdirectories on the stack. A directory gets its owner, mode and time when everything below it is
//! there, by whichever thread lets go of it last: until then nobody else may look into it, and later
//! its time would change again. As the stack is worked off from the top, descriptors are held only for
//! the directories on the way down, not for all that wait.

use std::collections::{BTreeSet, HashMap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use durable::IoContext as _;
use ostree_format::{Checksum, DirMeta, RepoMode, limits};
use progress::{Interrupt, Progress, Task, TaskKind};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::{CheckoutError, CheckoutOptions, CheckoutStats, Existing};
use crate::{ReadError, Repo};

/// What is checked out.
#[derive(Clone, Copy)]
pub(super) enum What<'a> {
    /// A directory.
    Dir { contents: Checksum, meta: Checksum },
    /// One file, into a directory.
    File { name: &'a str, checksum: Checksum },
}

/// A directory that is not made yet.
struct Waiting {
    parent: Option<Arc<Making>>,
    name: PathBuf,
    path: PathBuf,
    contents: Checksum,
    meta: Checksum,
    depth: usize,
}

/// A directory that is made but may miss things.
pub(super) struct Making {
    pub(super) fd: OwnedFd,
    /// The path below the root of the checkout, for labels and messages.
    pub(super) path: PathBuf,
    meta: Arc<DirMeta>,
    existed: bool,
    parent: Option<Arc<Making>>,
}

impl Making {
    /// Whether it was there before.
    pub(super) const fn existed(&self) -> bool {
        self.existed
    }
}

/// What the threads share.
pub(super) struct Walk<'a> {
    pub(super) repo: &'a Repo,
    pub(super) options: &'a CheckoutOptions<'a>,
    pub(super) user_mode: bool,
    pub(super) counters: Counters,
    task: Task<'a>,
    interrupt: &'a Interrupt,
    root: BorrowedFd<'a>,
    state: Mutex<State>,
    changed: Condvar,
    dirmetas: Mutex<HashMap<Checksum, Arc<DirMeta>>>,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) directories: AtomicU64,
    pub(super) linked: AtomicU64,
    pub(super) copied: AtomicU64,
    pub(super) copied_bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Threads that work on a directory and may put more on the stack.
    busy: usize,
    failed: Option<CheckoutError>,
}

pub(super) fn check_out(
    repo: &Repo,
    (into, name): (BorrowedFd<'_>, &Path),
    what: What<'_>,
    options: &CheckoutOptions<'_>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<CheckoutStats, CheckoutError> {
    let kind = if options.force_copy {
        TaskKind::CopyFiles
    } else {
        TaskKind::Checkout
    };
    let walk = Walk {
        repo,
        options,
        user_mode: options.user_mode || repo.mode() == RepoMode::BareUserOnly,
        counters: Counters::default(),
        task: Task::begin(progress, kind, None),
        interrupt,
        root: into,
        state: Mutex::default(),
        changed: Condvar::new(),
        dirmetas: Mutex::default(),
    };
    match what {
        What::Dir { contents, meta } => walk.push(Waiting {
            parent: None,
            name: name.to_owned(),
            path: PathBuf::new(),
            contents,
            meta,
            depth: limits::MAX_DEPTH,
        }),
        What::File {
            name: file,
            checksum,
        } => walk.single_file(name, file, &checksum)?,
    }
    std::thread::scope(|scope| {
        for _ in 1..threads(options) {
            scope.spawn(|| walk.work());
        }
        walk.work();
    });
    walk.finish()
}

fn threads(options: &CheckoutOptions<'_>) -> usize {
    let available = || std::thread::available_parallelism().ok();
    options.threads.or_else(available).map_or(1, usize::from)
}

impl Walk<'_> {
    fn finish(self) -> Result<CheckoutStats, CheckoutError> {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = state.failed {
            return Err(error);
        }
        self.task.done();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(CheckoutStats {
            directories: get(&self.counters.directories),
            linked: get(&self.counters.linked),
            copied: get(&self.counters.copied),
            copied_bytes: get(&self.counters.copied_bytes),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, waiting: Waiting) {
        self.lock().waiting.push(waiting);
        self.changed.notify_one();
    }

    /// Take directories until there are none and nobody can bring more.
    fn work(&self) {
        while let Some(next) = self.take() {
            let result = self.directory(next);
            let mut state = self.lock();
            state.busy -= 1;
            if let Err(error) = result {
                state.failed.get_or_insert(error);
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn take(&self) -> Option<Waiting> {
        let mut state = self.lock();
        loop {
            if state.failed.is_some() {
                return None;
            }
            if let Some(next) = state.waiting.pop() {
                state.busy += 1;
                return Some(next);
            }
            if state.busy == 0 {
                return None;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn directory(&self, waiting: Waiting) -> Result<(), CheckoutError> {
        self.interrupt.check()?;
        let depth = waiting.depth.checked_sub(1);
        let depth = depth.ok_or(ReadError::TooDeep(waiting.contents))?;
        let tree = self.repo.load_dirtree(&waiting.contents)?;
        let dir = Arc::new(self.make(waiting)?);
        self.clear_opaque(&dir, &tree.files)?;
        for (name, checksum) in &tree.files {
            if !self.is_skipped(&dir, name) {
                self.file(&dir, name, checksum)?;
            }
        }
        self.task.advance(tree.files.len() as u64);
        for entry in tree.dirs.into_iter().rev() {
            if self.is_skipped(&dir, &entry.name) {
                continue;
            }
            self.push(Waiting {
                parent: Some(Arc::clone(&dir)),
                path: dir.path.join(&entry.name),
                name: entry.name.into(),
                contents: entry.contents,
                meta: entry.meta,
                depth,
            });
        }
        self.let_go(dir)
    }

    /// One file, into the directory `name`, which is made when it is not there.
    fn single_file(
        &self,
        name: &Path,
        file: &str,
        checksum: &Checksum,
    ) -> Result<(), CheckoutError> {
        match rustix::fs::mkdirat(self.root, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => {
                return Err(error)
                    .during("create directory", name)
                    .map_err(Into::into);
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.root, name, flags, Mode::empty())
            .during("open directory", name)?;
        let dir = Making {
            fd,
            path: PathBuf::new(),
            meta: Arc::new(DirMeta::root_owned(0o755)),
            existed: true,
            parent: None,
        };
        self.file(&Arc::new(dir), file, checksum)
    }

    fn is_skipped(&self, dir: &Making, name: &str) -> bool {
        let skipped =
            |paths: &BTreeSet<PathBuf>| paths.contains(&Path::new("/").join(&dir.path).join(name));
        self.options.skip.is_some_and(skipped)
    }

    /// Make a directory that only its owner may look into so far.
    fn make(&self, waiting: Waiting) -> Result<Making, CheckoutError> {
        let parent = waiting
            .parent
            .as_ref()
            .map_or(self.root, |parent| parent.fd.as_fd());
        let meta = self.dirmeta(&waiting.meta)?;
        let make = || rustix::fs::mkdirat(parent, &waiting.name, Mode::from_raw_mode(0o700));
        let mut made = make();
        if made == Err(Errno::EXIST) && self.replaces(parent, &waiting)? {
            made = make();
        }
        let existed = match made {
            Ok(()) => false,
            Err(Errno::EXIST) if self.options.existing != Existing::Refuse => true,
            Err(error) => {
                return Err(error)
                    .during("create directory", shown(&waiting))
                    .map_err(Into::into);
            }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, &waiting.name, flags, Mode::empty())
            .during("open directory", shown(&waiting))?;
        self.counters
            .directories
            .fetch_add(u64::from(!existed), Ordering::Relaxed);
        Ok(Making {
            fd,
            path: waiting.path,
            meta,
            existed,
            parent: waiting.parent,
        })
    }

    /// Whether a file was in the way of a directory and is gone: only with whiteouts, which may hide anything.
    fn replaces(&self, parent: BorrowedFd<'_>, waiting: &Waiting) -> Result<bool, CheckoutError> {
        if !self.options.whiteouts || self.options.existing != Existing::Union {
            return Ok(false);
        }
        let stat = rustix::fs::statat(parent, &waiting.name, AtFlags::SYMLINK_NOFOLLOW)
            .during("look at", shown(waiting))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory || waiting.parent.is_none()
        {
            return Ok(false);
        }
        rustix::fs::unlinkat(parent, &waiting.name, AtFlags::empty())
            .during("replace", shown(waiting))?;
        Ok(true)
    }

    fn dirmeta(&self, checksum: &Checksum) -> Result<Arc<DirMeta>, ReadError> {
        let lock = || self.dirmetas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(checksum) {
            return Ok(Arc::clone(known));
        }
        let meta = Arc::new(self.repo.load_dirmeta(checksum)?);
        lock().insert(*checksum, Arc::clone(&meta));
        Ok(meta)
    }

    /// Complete the directory, and those above it, if nobody else holds them.
    fn let_go(&self, dir: Arc<Making>) -> Result<(), CheckoutError> {
        let mut last = Arc::into_inner(dir);
        while let Some(dir) = last {
            self.complete(&dir)?;
            last = dir.parent.and_then(Arc::into_inner);
        }
        Ok(())
    }

    /// Attributes, owner, mode, time. A directory that was there keeps its own.
    fn complete(&self, dir: &Making) -> Result<(), durable::Error> {
        if dir.existed {
            return Ok(());
        }
        let mut mode = dir.meta.mode & 0o7777;
        if !self.user_mode {
            let owner = (Uid::from_raw(dir.meta.uid), Gid::from_raw(dir.meta.gid));
            rustix::fs::fchown(&dir.fd, Some(owner.0), Some(owner.1))
                .during("set the owner of", &dir.path)?;
            self.set_xattrs(dir.fd.as_fd(), &dir.path, dir.meta.mode, &dir.meta.xattrs)?;
        }
        if self.repo.mode() == RepoMode::BareUserOnly || self.options.user_only_dirs {
            mode &= 0o775;
        }
        rustix::fs::fchmod(&dir.fd, Mode::from_raw_mode(mode))
            .during("set the mode of", &dir.path)?;
        if self.options.force_copy {
            return Ok(());
        }
        rustix::fs::futimens(&dir.fd, &EPOCH).during("set the time of", &dir.path)
    }
}

/// Access time as it is, modification time 0: the same in every checkout.
const EPOCH: Timestamps = Timestamps {
    last_access: Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_OMIT,
    },
    last_modification: Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    },
};

fn shown(waiting: &Waiting) -> &Path {
    if waiting.parent.is_none() {
        &waiting.name
    } else {
        &waiting.path
    }
}
