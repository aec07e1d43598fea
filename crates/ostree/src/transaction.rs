//! A transaction: objects are staged, synced once, then published; refs move last.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use durable::{IoContext as _, Lock, LockError, crash_point};
use error_class::{Classified, ErrorClass};
use ostree_format::refs::{InvalidRef, RefName, Refspec};
use ostree_format::{Checksum, ObjectName, RepoMode};
use progress::{Interrupt, Interrupted, Progress};

use crate::heads::Heads;
use crate::ref_edit::{MirrorRef, is_collection};
use crate::space::Space;
use crate::staging::Staging;
use crate::{BootId, RefEdit, RefError, Repo, VerityError};

/// Choices of a transaction.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TransactionOptions {
    /// Let a later sync make the moved refs durable: for one of several transactions in a row whose
    /// loss costs only repeated work. Objects are synced in any case before a ref names them.
    pub defer_ref_sync: bool,
    /// Sync nothing (`--fsync=false`): a power cut may cost what was written.
    pub no_sync: bool,
    /// Write content to a repository of mode `bare-split-xattrs`, which libostree refuses to do.
    pub write_split_xattrs: bool,
}

impl TransactionOptions {
    /// Set [`TransactionOptions::defer_ref_sync`].
    #[must_use]
    pub const fn deferring_ref_sync(mut self) -> Self {
        self.defer_ref_sync = true;
        self
    }

    /// Set [`TransactionOptions::no_sync`].
    #[must_use]
    pub const fn syncing(mut self, sync: bool) -> Self {
        self.no_sync = !sync;
        self
    }

    /// Set [`TransactionOptions::write_split_xattrs`].
    #[must_use]
    pub const fn writing_split_xattrs(mut self) -> Self {
        self.write_split_xattrs = true;
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
    /// The repository's mode keeps neither owners nor extended attributes, but the file has some.
    #[error(
        "a repository of mode {mode} keeps no owners or extended attributes, but the file has owner \
         {uid}:{gid} and {xattrs} attributes"
    )]
    OwnerForbidden {
        /// The repository's mode.
        mode: RepoMode,
        /// The file's owner.
        uid: u32,
        /// The file's group.
        gid: u32,
        /// How many attributes it has.
        xattrs: usize,
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
    /// The kernel cannot be made to verify an object.
    #[error(transparent)]
    Verity(#[from] VerityError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for WriteError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoSpace { .. } => ErrorClass::NoSpace,
            Self::ModeForbidden { .. } | Self::OwnerForbidden { .. } | Self::UnsupportedMode(_) => {
                ErrorClass::Unsupported
            }
            Self::Verity(error) => error.class(),
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
    /// Those of before the transaction; whoever stores the same object meanwhile is noticed when ours is published.
    heads: Heads,
    pub(crate) space: Space,
    pub(crate) counters: Counters,
    pub(crate) options: TransactionOptions,
    refs: Mutex<Vec<RefEdit>>,
    mirror_refs: Mutex<Vec<MirrorRef>>,
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
    /// Remove what transactions left behind that died: also what libostree would go on with in this boot, so it is for
    /// whoever does in its place what it was left for.
    ///
    /// # Errors
    /// What the system said; what is left goes the next time.
    pub fn use_up_staged(&self) -> Result<(), WriteError> {
        Ok(crate::staging::reclaim_all(self)?)
    }

    /// Begin a transaction, holding the repository's lock together with other writers.
    ///
    /// # Errors
    /// [`WriteError::Lock`] when somebody prunes for too long, or what the system said.
    pub fn begin(&self, options: TransactionOptions) -> Result<Transaction<'_>, WriteError> {
        let lock = self.lock_shared()?;
        let staging = Staging::create(self)?;
        staging.reclaim(self)?;
        Ok(Transaction {
            repo: self,
            staging,
            heads: Heads::of(self)?,
            space: Space::of(self)?,
            counters: Counters::default(),
            options,
            refs: Mutex::default(),
            mirror_refs: Mutex::default(),
            poisoned: AtomicBool::new(false),
            _lock: lock,
        })
    }
}

impl Transaction<'_> {
    /// Whether the object was stored before, or was stored since where others were.
    pub(crate) fn has_object(&self, name: &ObjectName) -> Result<bool, durable::Error> {
        Ok(self.heads.may_have(&name.checksum) && self.repo.has_object(name)?)
    }

    /// The repository that is written to.
    #[must_use]
    pub const fn repo(&self) -> &Repo {
        self.repo
    }

    /// Let the ref `name` hold `commit` (or nothing) once the transaction is committed.
    pub fn set_ref(&self, name: Refspec, expect: Expect, commit: Option<Checksum>) {
        self.refs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(RefEdit {
                name,
                expect,
                commit,
            });
    }

    /// Let the ref `name` of another collection, which is mirrored here, hold `commit` once the transaction
    /// is committed.
    ///
    /// # Errors
    /// [`RefError::Invalid`] when the name of the collection is not allowed.
    pub fn set_mirror_ref(
        &self,
        collection: &str,
        name: RefName,
        commit: Checksum,
    ) -> Result<(), RefError> {
        let collection = collection.to_owned();
        if !is_collection(&collection) {
            return Err(InvalidRef { text: collection }.into());
        }
        let mut refs = self
            .mirror_refs
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        refs.push(MirrorRef {
            collection,
            name,
            commit,
        });
        Ok(())
    }

    /// Remember that a write failed; used by the writers.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Relaxed);
    }

    /// Every writer returns through here: a failed write must not be forgotten by its caller.
    pub(crate) fn guarded<T>(&self, result: Result<T, WriteError>) -> Result<T, WriteError> {
        result.inspect_err(|_| self.poison())
    }

    /// End as a process that was killed before anything was published: the staged objects are left for the next
    /// transaction of libostree in the boot `boot`. For tests of recovery.
    ///
    /// # Errors
    /// What the system said; nothing was published then either.
    pub fn leave_staged(self, boot: &BootId) -> Result<(), WriteError> {
        Ok(self.staging.leave_behind(boot)?)
    }

    /// Make everything visible: sync, publish the objects, sync, move the refs.
    ///
    /// # Errors
    /// After an error objects may be there, but no ref names them unless all of them are. On
    /// [`WriteError::RefChanged`] no ref has moved. Staged objects that were not published are gone.
    pub fn commit(
        mut self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Stats, WriteError> {
        interrupt.check()?;
        let edits = std::mem::take(
            self.refs
                .get_mut()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        let mirrored = std::mem::take(
            self.mirror_refs
                .get_mut()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        self.repo.check_refs(&edits)?;
        if self.poisoned.load(Ordering::Relaxed) {
            let source = std::io::Error::other("an earlier write of the transaction failed");
            return Err(source)
                .during("commit", "transaction")
                .map_err(Into::into);
        }
        let stats = self.counters.stats();
        let fsync = self.repo.config().fsync && !self.options.no_sync;
        if stats.content_written + stats.metadata_written > 0 {
            self.protect()?;
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
        self.repo.move_refs(&edits)?;
        self.repo.move_mirror_refs(&mirrored)?;
        let moved = !edits.is_empty() || !mirrored.is_empty();
        if fsync && moved && !self.options.defer_ref_sync {
            durable::sync_filesystem(self.repo.dir())?;
        }
        Ok(stats)
    }
}
