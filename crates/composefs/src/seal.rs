//! fs-verity: the kernel verifies objects whenever they are read.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use composefs_format::{Algorithm, Digest, VerityHasher};
use durable::{IoContext as _, Seal, VerityHash, crash_point};
use progress::{Interrupt, Progress, Share, Task, TaskKind};
use rustix::fs::{Mode, OFlags};

use crate::{Batch, Store, StoreError};

/// What one thread found.
#[derive(Debug, Default)]
struct Sealed {
    /// Objects that it sealed.
    new: u64,
    /// Objects that share their inode with something that is verified by digests of another kind.
    otherwise: Vec<Digest>,
    /// The file system cannot do it.
    impossible: bool,
}

impl Store {
    /// Let the kernel verify an image and all objects of it, by the digests that name them. Whether the file system can do
    /// that. The image comes last: one that is verified has objects that are. Whatever is verified already costs one call.
    ///
    /// An object whose inode the OSTree repository has, too, and verifies by SHA-256 where this one has SHA-512, becomes a
    /// copy: an inode has one digest. Nobody may have an object open for writing.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] and what the system said. Objects that are verified by then stay so; calling again
    /// completes it.
    pub fn seal_image(
        &self,
        image: &Digest,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<bool, StoreError> {
        if self.seal_of(image)? == Seal::Impossible {
            return Ok(false);
        }
        let sealed = self.seal_objects(&self.objects_of_image(image)?, progress, interrupt)?;
        if sealed.impossible {
            return Ok(false);
        }
        self.copy_and_seal(&sealed.otherwise)?;
        if sealed.new > 0 {
            durable::sync_filesystem(self.dir())?;
        }
        crash_point("composefs:objects-sealed");
        match self.seal_object(image)? {
            Seal::Impossible => return Ok(false),
            Seal::OtherHash => self.copy_and_seal(&[*image])?,
            _ => {}
        }
        crash_point("composefs:image-sealed");
        Ok(true)
    }

    /// Demand from now on that the kernel verifies every object before it has its name, which `meta.json` says by being
    /// verified itself. Objects that are there already are sealed first. Waits for whoever works here.
    ///
    /// # Errors
    /// [`StoreError::NoVerity`] where the file system has no such thing, and as [`Store::seal_image`]: nothing is demanded
    /// then.
    pub fn demand_verity(
        &mut self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), StoreError> {
        if self.demands_verity() {
            return Ok(());
        }
        self.lock_alone()?;
        let demanded = self.seal_all(progress, interrupt);
        self.lock_shared()?;
        demanded?;
        self.now_demands_verity();
        Ok(())
    }

    fn seal_all(&self, progress: &dyn Progress, interrupt: &Interrupt) -> Result<(), StoreError> {
        let objects: Vec<Digest> = self.object_names()?.into_iter().flatten().collect();
        let sealed = self.seal_objects(&objects, progress, interrupt)?;
        if sealed.impossible {
            return Err(StoreError::NoVerity);
        }
        self.copy_and_seal(&sealed.otherwise)?;
        durable::sync_filesystem(self.dir())?;
        crash_point("composefs:objects-sealed");
        let (meta, content) = self.meta()?;
        let digest = VerityHasher::digest(self.algorithm(), &content);
        match seal(&meta, &digest)? {
            Seal::Verified { .. } => Ok(durable::sync_filesystem(self.dir())?),
            _ => Err(StoreError::NoVerity),
        }
    }

    /// Whether the kernel verifies an object by the digest that names it.
    ///
    /// # Errors
    /// [`StoreError::Missing`], and what the system said.
    pub fn is_sealed(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(matches!(self.seal_of(digest)?, Seal::Verified { .. }))
    }

    fn seal_of(&self, digest: &Digest) -> Result<Seal, StoreError> {
        let (file, path) = (self.open_object(digest)?, digest.object_path());
        let hash = hash_of(digest.algorithm());
        Ok(durable::seal_of(
            &file,
            Path::new(&path),
            hash,
            digest.as_bytes(),
        )?)
    }

    fn seal_objects(
        &self,
        objects: &[Digest],
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Sealed, StoreError> {
        let task = Task::begin(progress, TaskKind::Seal, Some(objects.len() as u64));
        let share = Share {
            threads: None,
            batch: 64,
        };
        let work = |sealed: &mut Sealed, batch: &[Digest]| {
            let mut batch = batch.iter();
            batch.try_for_each(|digest| sealed.add(*digest, self.seal_object(digest)?))
        };
        let each = task.share_out(objects, share, interrupt, Sealed::default, work)?;
        task.done();
        Ok(each.into_iter().fold(Sealed::default(), Sealed::and))
    }

    fn seal_object(&self, digest: &Digest) -> Result<Seal, StoreError> {
        let sealed = seal(&self.open_object(digest)?, digest)?;
        if sealed == (Seal::Verified { new: true }) {
            crash_point("composefs:object-sealed");
        }
        Ok(sealed)
    }

    /// Lets objects be inodes of their own, which are verified.
    fn copy_and_seal(&self, objects: &[Digest]) -> Result<(), StoreError> {
        if objects.is_empty() {
            return Ok(());
        }
        let mut batch = self.begin()?;
        for digest in objects {
            batch.copy_anew(self.open_object(digest)?.as_fd(), digest)?;
        }
        durable::sync_filesystem(self.dir())?;
        for digest in objects {
            batch.seal_staged(digest)?;
            batch.replace(digest)?;
            crash_point("composefs:object-copied");
        }
        Ok(())
    }
}

impl Sealed {
    fn add(&mut self, digest: Digest, seal: Seal) -> Result<(), StoreError> {
        match seal {
            Seal::Verified { new } => self.new += u64::from(new),
            Seal::OtherHash => self.otherwise.push(digest),
            Seal::Open | Seal::Impossible => self.impossible = true,
            Seal::OtherContent => return Err(damaged(&digest)),
        }
        Ok(())
    }

    fn and(mut self, other: Self) -> Self {
        self.new += other.new;
        self.otherwise.extend(other.otherwise);
        self.impossible |= other.impossible;
        self
    }
}

impl Batch<'_> {
    /// Seals what is to become an object, of which nobody writes any more.
    pub(crate) fn seal_staged(&self, digest: &Digest) -> Result<(), StoreError> {
        let name = digest.to_string();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self.staging(), &name, flags, Mode::empty());
        let file = File::from(file.during("open object", &name)?);
        match seal(&file, digest)? {
            Seal::Verified { .. } => Ok(()),
            _ => Err(StoreError::NoVerity),
        }
    }

    pub(crate) fn replace(&self, digest: &Digest) -> Result<(), StoreError> {
        let (name, path) = (digest.to_string(), digest.object_path());
        let renamed = rustix::fs::renameat(self.staging(), &name, self.store().objects(), &path);
        Ok(renamed.during("name object", path)?)
    }
}

/// Whether a file that is to be linked may be an object of a repository that demands verified ones: it is sealed for that.
pub(crate) fn can_be_sealed(file: OwnedFd, digest: &Digest) -> Result<bool, StoreError> {
    match seal(&file.into(), digest)? {
        Seal::Verified { .. } => Ok(true),
        Seal::Impossible => Err(StoreError::NoVerity),
        Seal::Open | Seal::OtherHash | Seal::OtherContent => Ok(false),
    }
}

fn seal(file: &File, digest: &Digest) -> Result<Seal, StoreError> {
    let (path, hash) = (digest.object_path(), hash_of(digest.algorithm()));
    let sealed = durable::seal(file, Path::new(&path), hash, digest.as_bytes())?;
    match sealed {
        Seal::OtherContent => Err(damaged(digest)),
        other => Ok(other),
    }
}

fn damaged(digest: &Digest) -> StoreError {
    StoreError::Damaged {
        digest: digest.to_string(),
    }
}

const fn hash_of(algorithm: Algorithm) -> VerityHash {
    match algorithm {
        Algorithm::Sha256 => VerityHash::Sha256,
        Algorithm::Sha512 => VerityHash::Sha512,
    }
}
