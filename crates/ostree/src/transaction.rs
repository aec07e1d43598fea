//! A transaction: objects are staged, synced once, then published; refs move last.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use durable::{IoContext as _, Lock, LockError, crash_point};
use error_class::{Classified, ErrorClass};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, ObjectName, RepoMode};
use progress::{Interrupt, Interrupted, Progress, Task, TaskKind};
use rustix::fs::{AtFlags, Dir, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use crate::space::Space;
use crate::staging::Staging;
use crate::{RefError, Repo};

/// Choices of a transaction.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TransactionOptions {
    /// Let a later sync make the moved refs durable: for one of several transactions in a row whose
    /// loss costs only repeated work. Objects are synced in any case before a ref names them.
    pub defer_ref_sync: bool,
}

impl TransactionOptions {
    /// Set [`TransactionOptions::defer_ref_sync`].
    #[must_use]
    pub const fn deferring_ref_sync(mut self) -> Self {
        self.defer_ref_sync = true;
        self
    }
}

/// What a transaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Content objects that were asked to be written.
    pub content_total: u64,
    /// Content objects that were new.
    pub content_written: u64,
    /// Bytes of new content, unpacked.
    pub content_bytes: u64,
    /// Metadata objects that were asked to be written.
    pub metadata_total: u64,
    /// Metadata objects that were new.
    pub metadata_written: u64,
}

impl Stats {
    /// Count what another transaction did, too.
    pub const fn add(&mut self, other: &Self) {
        self.content_total += other.content_total;
        self.content_written += other.content_written;
        self.content_bytes += other.content_bytes;
        self.metadata_total += other.metadata_total;
        self.metadata_written += other.metadata_written;
    }
}

/// What a ref edit expects to find, so that nobody's change is overwritten unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there.
    Any,
    /// No ref of that name.
    Absent,
    /// A ref that names this commit.
    Exactly(Checksum),
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The file system would fall below the reserve that the repository's config asks for.
    #[error(
        "not enough space: {needed} more bytes are needed, {available} are available above the reserve \
         ({reserve} in the repository's config)"
    )]
    NoSpace {
        /// Bytes of the object that did not fit.
        needed: u64,
        /// Bytes that could still be written.
        available: u64,
        /// The setting that keeps the reserve.
        reserve: String,
    },
    /// The repository's mode cannot hold this file.
    #[error("a repository of mode {mode} cannot hold a file of mode {file_mode:o}")]
    ModeForbidden {
        /// The repository's mode.
        mode: RepoMode,
        /// The file's mode.
        file_mode: u32,
    },
    /// Objects cannot be written in this mode.
    #[error("writing to a repository of mode {0} is not supported")]
    UnsupportedMode(RepoMode),
    /// A name in a directory is not UTF-8, which OSTree requires.
    #[error("{path:?} is not UTF-8; OSTree cannot store it")]
    NameNotUtf8 {
        /// The path, escaped.
        path: String,
    },
    /// The content was longer or shorter than announced.
    #[error("content of {expected} bytes was announced, but {actual} came")]
    SizeMismatch {
        /// Bytes announced.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// The object hashes to another name than was asked for.
    #[error("{expected} was to be written, but the content is that of {actual}")]
    ChecksumMismatch {
        /// What was asked for.
        expected: ObjectName,
        /// What the content hashes to.
        actual: Checksum,
    },
    /// A ref is not what the edit expected.
    #[error("ref {name} was changed by somebody else: it is {}", found.map_or_else(|| "absent".to_owned(), |c| c.to_string()))]
    RefChanged {
        /// The ref.
        name: Refspec,
        /// What it holds now.
        found: Option<Checksum>,
    },
    /// A ref could not be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The repository is locked.
    #[error("cannot write to the repository: {0}")]
    Lock(#[from] LockError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for WriteError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::ModeForbidden { .. } | Self::UnsupportedMode(_) => ErrorClass::Unsupported,
            Self::NameNotUtf8 { .. } => ErrorClass::InvalidInput,
            Self::SizeMismatch { .. } | Self::ChecksumMismatch { .. } => ErrorClass::Corrupt,
            Self::RefChanged { .. } => ErrorClass::Locked,
            Self::Ref(error) => error.class(),
            Self::Lock(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// Objects and ref edits that become visible together; dropped without commit, nothing happened.
///
/// All writers take `&self` and may be called from several threads at once.
#[derive(Debug)]
pub struct Transaction<'r> {
    pub(crate) repo: &'r Repo,
    pub(crate) staging: Staging,
    pub(crate) space: Space,
    pub(crate) counters: Counters,
    options: TransactionOptions,
    refs: Mutex<Vec<(Refspec, Expect, Option<Checksum>)>>,
    /// Set by the first failed write: what is staged may be incomplete and must not be published.
    poisoned: AtomicBool,
    _lock: Option<Lock>,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) content_total: AtomicU64,
    pub(crate) content_written: AtomicU64,
    pub(crate) content_bytes: AtomicU64,
    pub(crate) metadata_total: AtomicU64,
    pub(crate) metadata_written: AtomicU64,
}

impl Counters {
    fn stats(&self) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            content_total: get(&self.content_total),
            content_written: get(&self.content_written),
            content_bytes: get(&self.content_bytes),
            metadata_total: get(&self.metadata_total),
            metadata_written: get(&self.metadata_written),
        }
    }
}

impl Repo {
    /// Begin a transaction, holding the repository's lock together with other writers.
    ///
    /// # Errors
    /// [`WriteError::Lock`] when somebody prunes for too long, or what the system said.
    pub fn begin(&self, options: TransactionOptions) -> Result<Transaction<'_>, WriteError> {
        let lock = self.lock_shared()?;
        Staging::reclaim(self)?;
        Ok(Transaction {
            repo: self,
            staging: Staging::create(self)?,
            space: Space::of(self)?,
            counters: Counters::default(),
            options,
            refs: Mutex::default(),
            poisoned: AtomicBool::new(false),
            _lock: lock,
        })
    }
}

impl Transaction<'_> {
    /// The repository that is written to.
    #[must_use]
    pub const fn repo(&self) -> &Repo {
        self.repo
    }

    /// Let `refspec` name `commit` (or nothing) once the transaction is committed.
    pub fn set_ref(&self, refspec: Refspec, expect: Expect, commit: Option<Checksum>) {
        self.refs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push((refspec, expect, commit));
    }

    /// Remember that a write failed; used by the writers.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    /// Make everything visible: sync, publish the objects, sync, move the refs.
    ///
    /// # Errors
    /// On [`WriteError::RefChanged`] nothing is visible. After any later error objects may be there, but
    /// no ref names them unless all of them are; the same transaction may be tried again.
    pub fn commit(
        self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Stats, WriteError> {
        interrupt.check()?;
        self.check_refs()?;
        if self.poisoned.load(Ordering::Relaxed) {
            let source = std::io::Error::other("an earlier write of the transaction failed");
            return Err(source)
                .during("commit", "transaction")
                .map_err(Into::into);
        }
        let stats = self.counters.stats();
        let fsync = self.repo.config().fsync;
        if stats.content_written + stats.metadata_written > 0 {
            if fsync {
                durable::sync_filesystem(self.staging.dir())?;
            }
            crash_point("transaction:synced");
            self.publish(progress, stats.content_written + stats.metadata_written)?;
            if fsync {
                durable::sync_filesystem(self.repo.dir())?;
            }
        }
        crash_point("transaction:published");
        self.move_refs(fsync)?;
        Ok(stats)
    }

    fn check_refs(&self) -> Result<(), WriteError> {
        let refs = self
            .refs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for (name, expect, _) in refs.iter() {
            let found = match expect {
                Expect::Any => continue,
                Expect::Absent | Expect::Exactly(_) => self.repo.read_ref(name)?,
            };
            let wanted = match expect {
                Expect::Exactly(commit) => Some(*commit),
                Expect::Any | Expect::Absent => None,
            };
            if found != wanted {
                return Err(WriteError::RefChanged {
                    name: name.clone(),
                    found,
                });
            }
        }
        Ok(())
    }

    fn move_refs(&self, fsync: bool) -> Result<(), WriteError> {
        let refs = self
            .refs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if refs.is_empty() {
            return Ok(());
        }
        for (name, _, commit) in refs.iter() {
            self.repo.write_ref(name, commit.as_ref())?;
            crash_point("transaction:ref-written");
        }
        self.repo.touch()?;
        if fsync && !self.options.defer_ref_sync {
            durable::sync_filesystem(self.repo.dir())?;
        }
        Ok(())
    }

    /// Move every staged object to its final place.
    fn publish(&self, progress: &dyn Progress, count: u64) -> Result<(), WriteError> {
        let task = Task::begin(progress, TaskKind::Publish, Some(count));
        for head in 0..=u8::MAX {
            let head = format!("{head:02x}");
            task.advance(self.publish_head(&head)?);
            crash_point("transaction:head-published");
        }
        task.done();
        Ok(())
    }

    /// Move the objects of one `xx`; how many they were.
    fn publish_head(&self, head: &str) -> Result<u64, durable::Error> {
        let (staging, objects) = (self.staging.dir(), self.repo.objects());
        let dir = match crate::repo::open_dir(staging, head.as_ref()) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir).during("list", head)? {
            let entry = entry.during("list", head)?;
            if entry.file_type() != FileType::Directory {
                names.push(entry.file_name().to_owned());
            }
        }
        let count = names.len() as u64;
        match rustix::fs::mkdirat(objects, head, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).during("create", head),
        }
        let target = crate::repo::open_dir(objects, head.as_ref())?;
        for name in names {
            let flags = if name.to_bytes().ends_with(b".commitmeta") {
                // Detached metadata is named by its commit, not by its own content: the new one counts.
                RenameFlags::empty()
            } else {
                RenameFlags::NOREPLACE
            };
            match rustix::fs::renameat_with(&dir, &name, &target, &name, flags) {
                Ok(()) => {}
                // The same object: somebody else published it meanwhile.
                Err(Errno::EXIST) => rustix::fs::unlinkat(&dir, &name, AtFlags::empty())
                    .during("remove", name.to_string_lossy().as_ref())?,
                Err(error) => {
                    return Err(error).during("publish object", name.to_string_lossy().as_ref());
                }
            }
        }
        Ok(count)
    }
}
