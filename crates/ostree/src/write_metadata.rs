//! Writing metadata objects.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use durable::IoContext as _;
use ostree_format::{Checksum, Commit, DirMeta, DirTree, Metadata, ObjectKind, ObjectName};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{Transaction, WriteError};

impl Transaction<'_> {
    /// Write a dirtree, unless it is stored.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_dirtree(&self, tree: &DirTree) -> Result<Checksum, WriteError> {
        self.write_metadata(ObjectKind::DirTree, &tree.to_bytes())
    }

    /// Write a dirmeta, unless it is stored.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_dirmeta(&self, meta: &DirMeta) -> Result<Checksum, WriteError> {
        self.write_metadata(ObjectKind::DirMeta, &meta.to_bytes())
    }

    /// Write a commit, unless it is stored.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_commit(&self, commit: &Commit) -> Result<Checksum, WriteError> {
        self.write_metadata(ObjectKind::Commit, &commit.to_bytes())
    }

    /// Set or replace the detached metadata of a commit.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_detached_metadata(
        &self,
        commit: Checksum,
        metadata: &Metadata,
    ) -> Result<(), WriteError> {
        let name = ObjectName::new(commit, ObjectKind::CommitMeta);
        self.counters
            .metadata_written
            .fetch_add(1, Ordering::Relaxed);
        self.guarded(self.stage_metadata(&name, &metadata.to_bytes()))?;
        Ok(())
    }

    /// Write a metadata object that is named by its own checksum, unless it is stored.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_metadata(&self, kind: ObjectKind, bytes: &[u8]) -> Result<Checksum, WriteError> {
        let name = ObjectName::new(Checksum::of(bytes), kind);
        self.counters.metadata_total.fetch_add(1, Ordering::Relaxed);
        self.guarded(self.add_metadata(&name, bytes))?;
        Ok(name.checksum)
    }

    fn add_metadata(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), WriteError> {
        if self.has_object(name)? {
            return Ok(());
        }
        if self.stage_metadata(name, bytes)? {
            self.counters
                .metadata_written
                .fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn count_new_metadata(&self) {
        let (total, written) = (
            &self.counters.metadata_total,
            &self.counters.metadata_written,
        );
        total.fetch_add(1, Ordering::Relaxed);
        written.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the object is new to this transaction.
    fn stage_metadata(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool, WriteError> {
        self.space.take(bytes.len() as u64)?;
        let path = name.loose_path(self.repo.mode());
        let replace = name.kind == ObjectKind::CommitMeta;
        let exclusive = if replace { OFlags::TRUNC } else { OFlags::EXCL };
        self.stage_bytes(&path, bytes, exclusive)
    }

    /// Stage a file that nobody else has staged under that name; it may be there.
    pub(crate) fn stage_plain(&self, path: &str, bytes: &[u8]) -> Result<(), WriteError> {
        self.space.take(bytes.len() as u64)?;
        self.stage_bytes(path, bytes, OFlags::EXCL).map(|_| ())
    }

    fn stage_bytes(&self, path: &str, bytes: &[u8], how: OFlags) -> Result<bool, WriteError> {
        let Some(file) = self.create_staged(path, how, 0o644)? else {
            return Ok(false);
        };
        durable::write_all(file.as_fd(), bytes).during("write object", path)?;
        self.set_permissions(file.as_fd(), path, 0o644, 0o644)?;
        Ok(true)
    }

    /// Create the staged file at `path`; `None` when this transaction staged it already.
    ///
    /// It bears its final name from the start: the staging directory is trusted by nobody before the
    /// transaction is committed, and creating in place is the cheapest way to make a file.
    pub(crate) fn create_staged(
        &self,
        path: &str,
        how: OFlags,
        permissions: u32,
    ) -> Result<Option<OwnedFd>, durable::Error> {
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC | how;
        let mode = Mode::from_raw_mode(permissions);
        let create = || rustix::fs::openat(self.staging.dir(), path, flags, mode);
        let created = match create() {
            Err(Errno::NOENT) => {
                self.create_head(path)?;
                create()
            }
            other => other,
        };
        match created {
            Ok(file) => Ok(Some(file)),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(error).during("create object", path),
        }
    }

    /// Give a file that was created with the permissions `created` those that it is to have; most
    /// files have them already, which saves a call.
    pub(crate) fn set_permissions(
        &self,
        file: BorrowedFd<'_>,
        path: &str,
        created: u32,
        permissions: u32,
    ) -> Result<(), WriteError> {
        if permissions != created & !self.staging.umask() {
            let mode = Mode::from_raw_mode(permissions);
            rustix::fs::fchmod(file, mode).during("set the mode of", path)?;
        }
        Ok(())
    }

    /// Make the staged directory that `path` (`xx/…`) lies in.
    pub(crate) fn create_head(&self, path: &str) -> Result<(), durable::Error> {
        let head = path.get(..2).unwrap_or(path);
        match rustix::fs::mkdirat(self.staging.dir(), head, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error).during("create", head),
        }
    }
}
