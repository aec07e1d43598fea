//! Objects, streams, images and references that become visible in this order.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use composefs_format::{Digest, VerityHasher};
use durable::{IoContext as _, crash_point};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::names::{Category, check_reference, link_to_entry, link_to_object};
use crate::{Store, StoreError};

/// In front of the name of a staging directory.
const STAGING: &str = "bootroot-staging-";

/// Tells the batches of one process from each other.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// What is to be added to a store. New objects lie in a directory that nobody trusts until everything is on
/// disk; dropped without [`Batch::commit`], nothing happened.
#[derive(Debug)]
pub struct Batch<'s> {
    store: &'s Store,
    dir: String,
    /// Locked as long as somebody works in it.
    staging: OwnedFd,
    objects: Vec<Digest>,
    entries: Vec<(Category, String, Digest)>,
    references: Vec<(Category, String, String)>,
    files: u64,
    /// Staged files that are to take the place of objects.
    pub(crate) replacements: Vec<Digest>,
    /// The file system does not let files share their bytes, or they are on another one.
    pub(crate) cannot_clone: bool,
    /// The staging directory, where files of other stores can be linked to.
    pub(crate) bare_staging: Option<OwnedFd>,
}

/// A file on its way to become an object.
#[derive(Debug)]
pub struct ObjectWriter {
    file: File,
    name: String,
    hasher: VerityHasher,
    size: u64,
}

impl Store {
    /// Begin to add something. What a process that died left is removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(&self) -> Result<Batch<'_>, StoreError> {
        self.remove_stale_staging()?;
        let (dir, staging) = self.make_staging()?;
        Ok(Batch {
            store: self,
            dir,
            staging,
            objects: Vec::new(),
            entries: Vec::new(),
            references: Vec::new(),
            files: 0,
            replacements: Vec::new(),
            cannot_clone: false,
            bare_staging: None,
        })
    }

    /// A locked directory that nobody else works in. Whoever removes what is stale may come between making and locking
    /// it, and takes it for stale then: another one is made.
    fn make_staging(&self) -> Result<(String, OwnedFd), StoreError> {
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let process = rustix::process::getpid().as_raw_nonzero();
            let dir = format!("{STAGING}{process}-{count}");
            durable::create_dir_all(self.dir(), Path::new(&dir), 0o700)?;
            let staging = match self.open_dir(&dir) {
                Err(Errno::NOENT) => continue,
                other => other.during("open", &dir)?,
            };
            match rustix::fs::flock(&staging, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => continue,
                other => other.during("lock", &dir)?,
            }
            if self.open_dir(&dir).is_ok() {
                return Ok((dir, staging));
            }
        }
    }

    fn remove_stale_staging(&self) -> Result<(), StoreError> {
        for name in self.list("")? {
            if !name.starts_with(STAGING) {
                continue;
            }
            let Ok(dir) = self.open_dir(&name) else {
                continue;
            };
            if rustix::fs::flock(&dir, FlockOperation::NonBlockingLockExclusive).is_ok() {
                durable::remove_all(self.dir(), Path::new(&name))?;
            }
        }
        Ok(())
    }
}

impl<'s> Batch<'s> {
    /// The store.
    #[must_use]
    pub const fn store(&self) -> &'s Store {
        self.store
    }

    /// Where new objects lie, under their digests.
    pub(crate) fn staging(&self) -> BorrowedFd<'_> {
        self.staging.as_fd()
    }

    /// Let there be an object with this content.
    ///
    /// # Errors
    /// What the system said.
    pub fn add_object(&mut self, content: &[u8]) -> Result<Digest, StoreError> {
        let digest = VerityHasher::digest(self.store.algorithm(), content);
        if !self.is_there(&digest)? {
            let mut writer = self.writer()?;
            writer.write_bytes(content)?;
            self.keep(&writer, digest)?;
        }
        Ok(digest)
    }

    /// Begin an object whose content comes piece by piece.
    ///
    /// # Errors
    /// What the system said.
    pub fn writer(&mut self) -> Result<ObjectWriter, StoreError> {
        self.files += 1;
        let name = format!("new-{}", self.files);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.staging, &name, flags, Mode::from_raw_mode(0o644));
        Ok(ObjectWriter {
            file: file.during("create object", &name)?.into(),
            name,
            hasher: VerityHasher::new(self.store.algorithm()),
            size: 0,
        })
    }

    /// The object is complete.
    ///
    /// # Errors
    /// What the system said.
    pub fn finish(&mut self, mut writer: ObjectWriter) -> Result<(Digest, u64), StoreError> {
        let hasher = VerityHasher::new(self.store.algorithm());
        let digest = std::mem::replace(&mut writer.hasher, hasher).finish();
        let size = writer.size;
        if self.is_there(&digest)? {
            self.discard(&writer)?;
        } else {
            self.keep(&writer, digest)?;
        }
        Ok((digest, size))
    }

    /// Nothing becomes of a file.
    pub(crate) fn discard(&self, writer: &ObjectWriter) -> Result<(), StoreError> {
        let removed = rustix::fs::unlinkat(&self.staging, &writer.name, AtFlags::empty());
        Ok(removed.during("remove", &writer.name)?)
    }

    pub(crate) fn is_there(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.is_there_in_staging(digest)? || self.store.has_object(digest)?)
    }

    pub(crate) fn is_there_in_staging(&self, digest: &Digest) -> Result<bool, StoreError> {
        match rustix::fs::statat(&self.staging, digest.to_string(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Ok(Err(error).during("look for object", digest.to_string())?),
        }
    }

    pub(crate) fn keep(&mut self, writer: &ObjectWriter, digest: Digest) -> Result<(), StoreError> {
        self.name_staged(writer, &digest)?;
        self.add_staged(digest);
        Ok(())
    }

    /// The file is what is to be an object.
    pub(crate) fn name_staged(
        &self,
        writer: &ObjectWriter,
        digest: &Digest,
    ) -> Result<(), StoreError> {
        let (staging, name) = (&self.staging, digest.to_string());
        let renamed = rustix::fs::renameat(staging, &writer.name, staging, &name);
        Ok(renamed.during("name object", name)?)
    }

    /// What is staged becomes an object.
    pub(crate) fn add_staged(&mut self, digest: Digest) {
        self.objects.push(digest);
    }

    /// Keep a stream under its name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_stream(&mut self, name: &str, stream: &[u8]) -> Result<Digest, StoreError> {
        check_reference(name)?;
        let digest = self.add_object(stream)?;
        self.entries
            .push((Category::Streams, name.to_owned(), digest));
        Ok(digest)
    }

    /// Keep an image under its digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_image(&mut self, image: &[u8]) -> Result<Digest, StoreError> {
        let digest = self.add_object(image)?;
        self.entries
            .push((Category::Images, digest.to_string(), digest));
        Ok(digest)
    }

    /// Let the reference `name` stand for an entry.
    ///
    /// # Errors
    /// [`StoreError::Name`].
    pub fn refer(&mut self, category: Category, name: &str, entry: &str) -> Result<(), StoreError> {
        check_reference(name)?;
        let reference = (category, name.to_owned(), entry.to_owned());
        self.references.push(reference);
        Ok(())
    }

    /// Make everything visible: objects once they are on disk, and verified by the kernel where that is demanded, then what has names, references last. The names
    /// are on disk by the next commit unless there are references.
    ///
    /// # Errors
    /// [`StoreError`]; references are what they were, or what they were to be.
    pub fn commit(self) -> Result<(), StoreError> {
        crash_point("composefs:staged");
        if !self.objects.is_empty() || !self.replacements.is_empty() {
            durable::sync_filesystem(self.store.dir())?;
        }
        if !self.objects.is_empty() {
            if self.store.demands_verity() {
                self.objects
                    .iter()
                    .try_for_each(|digest| self.seal_staged(digest))?;
                crash_point("composefs:sealed");
            }
            for digest in &self.objects {
                self.publish(digest)?;
            }
            crash_point("composefs:published");
        }
        self.replace_shared()?;
        let dir = self.store.dir();
        if !self.entries.is_empty() {
            durable::sync_filesystem(dir)?;
            for (category, name, digest) in &self.entries {
                link_to_object(dir, *category, name, digest)?;
            }
            crash_point("composefs:named");
        }
        if !self.references.is_empty() {
            durable::sync_filesystem(dir)?;
            for (category, name, entry) in &self.references {
                link_to_entry(dir, *category, name, entry)?;
            }
            durable::sync_filesystem(dir)?;
            crash_point("composefs:referred");
        }
        Ok(())
    }

    fn publish(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = digest.object_path();
        self.store.make_head(&path)?;
        let (from, to) = (self.staging.as_fd(), self.store.objects());
        let name = digest.to_string();
        // Whoever was faster has put the same content there.
        match rustix::fs::renameat_with(from, &name, to, &path, RenameFlags::NOREPLACE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::INVAL | Errno::NOSYS) => {
                Ok(rustix::fs::renameat(from, &name, to, &path).during("name object", path)?)
            }
            Err(error) => Ok(Err(error).during("name object", path)?),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        // What stays is removed by the next one that begins.
        let _removed = durable::remove_all(self.store.dir(), Path::new(&self.dir));
    }
}

impl ObjectWriter {
    /// The next bytes.
    ///
    /// # Errors
    /// What the system said.
    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(self
            .file
            .write_all(bytes)
            .during("write object", &self.name)?)
    }

    /// Where the bytes go.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
