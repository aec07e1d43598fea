//! Objects whose bytes are those of files that belong to another store as they are, with owner, mode, times and attributes.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};

use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use rustix::fs::{AtFlags, CWD, Stat};
use rustix::io::Errno;

use crate::seal::can_be_sealed;
use crate::{Adopted, Batch, Store, StoreError};

impl Store {
    fn object_stat(&self, digest: &Digest) -> Result<Option<Stat>, StoreError> {
        let path = digest.object_path();
        match rustix::fs::statat(self.objects(), &path, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            other => Ok(Some(other.during("look at", path)?)),
        }
    }
}

impl Batch<'_> {
    /// Let files whose digests are these share their bytes with objects: an object that is new is a clone where the file
    /// system can do that, else the same inode, else a copy. One that is there with an inode that nobody else has is
    /// replaced in the same way, unless the bytes would have to be copied. The files are on disk before they count. In a
    /// repository that is open to others no inode of another store becomes an object: its owner could change it.
    ///
    /// # Errors
    /// What the system said. Nothing is replaced before [`Batch::commit`].
    pub fn share(
        &mut self,
        files: impl IntoIterator<Item = (File, Digest)>,
    ) -> Result<(), StoreError> {
        let mut is_synced = false;
        for (file, digest) in files {
            if !is_synced {
                durable::sync_filesystem(file.as_fd())?;
                is_synced = true;
            }
            self.share_one(&file, digest)?;
        }
        Ok(())
    }

    fn share_one(&mut self, file: &File, digest: Digest) -> Result<Adopted, StoreError> {
        let there = self.store().object_stat(&digest)?;
        let Some(there) = there else {
            return self.share_new(file, digest);
        };
        let stat = rustix::fs::fstat(file).during("look at", digest.to_string())?;
        let is_same = (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino);
        if is_same || there.st_nlink > 1 || self.is_there_in_staging(&digest)? {
            return Ok(Adopted::Present);
        }
        if self.clone_of(file, &digest)? {
            self.replacements.push(digest);
            return Ok(Adopted::Cloned);
        }
        if !self.linked_for(file, &digest)? {
            return Ok(Adopted::Present);
        }
        self.replacements.push(digest);
        Ok(Adopted::Linked)
    }

    fn share_new(&mut self, file: &File, digest: Digest) -> Result<Adopted, StoreError> {
        if self.is_there(&digest)? {
            return Ok(Adopted::Present);
        }
        let shared = match self.clone_of(file, &digest)? {
            true => Adopted::Cloned,
            false if self.linked_for(file, &digest)? => Adopted::Linked,
            false => return self.copy_anew(file.as_fd(), &digest),
        };
        self.add_staged(digest);
        Ok(shared)
    }

    /// A staged object that shares the bytes of a file; whether there can be one.
    fn clone_of(&mut self, file: &File, digest: &Digest) -> Result<bool, StoreError> {
        if self.cannot_clone {
            return Ok(false);
        }
        let writer = self.writer()?;
        if rustix::fs::ioctl_ficlone(writer.file(), file).is_ok() {
            self.name_staged(&writer, digest)?;
            return Ok(true);
        }
        self.discard(&writer)?;
        self.cannot_clone = true;
        Ok(false)
    }

    /// Another name of a file in the staging directory; whether it can have one, and can be verified where that is demanded or
    /// the object that it is to replace is.
    fn linked_for(&mut self, file: &File, digest: &Digest) -> Result<bool, StoreError> {
        if !self.store().is_private()? {
            return Ok(false);
        }
        if self.must_be_sealed(digest)? {
            let copy = rustix::io::dup(file).during("copy", digest.to_string())?;
            if !can_be_sealed(copy, digest)? {
                return Ok(false);
            }
        }
        let staging = match &self.bare_staging {
            Some(staging) => staging,
            None => {
                let bare = durable::reach_bare(self.staging());
                let bare = bare.during("reach", "the staging directory")?;
                self.bare_staging.insert(bare)
            }
        };
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        let (name, flags) = (digest.to_string(), AtFlags::SYMLINK_FOLLOW);
        // There are other file systems, and files that have all the names they can have.
        Ok(rustix::fs::linkat(CWD, from, staging, &name, flags).is_ok())
    }

    fn must_be_sealed(&self, digest: &Digest) -> Result<bool, StoreError> {
        let store = self.store();
        Ok(store.demands_verity() || (store.has_object(digest)? && store.is_sealed(digest)?))
    }

    /// What is to replace objects, and is on disk, does so; first it is verified by the kernel where the object is.
    pub(crate) fn replace_shared(&self) -> Result<(), StoreError> {
        if self.replacements.is_empty() {
            return Ok(());
        }
        crash_point("composefs:replacements-staged");
        for digest in &self.replacements {
            if self.must_be_sealed(digest)? {
                self.seal_staged(digest)?;
            }
            self.replace(digest)?;
            crash_point("composefs:object-replaced");
        }
        Ok(())
    }
}
