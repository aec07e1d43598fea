//! Objects that another store has already: the same inode, where that is possible.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use composefs_format::Digest;
use durable::IoContext as _;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::seal::can_be_sealed;
use crate::{Batch, Store, StoreError};

/// What became of a file that was to be an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// There was such an object.
    Present,
    /// It has another name now, and no bytes were written.
    Linked,
    /// It shares its bytes, not its inode.
    Cloned,
    /// Its bytes stand twice.
    Copied,
}

impl Store {
    /// Let the regular file `file`, whose digest is `digest`, be an object: linked, where it has room for
    /// another link and is on the same file system, else cloned, else copied. A copy is synced; owner, mode and
    /// attributes do not matter, for images have their own. A file that is linked must be on disk already.
    ///
    /// # Errors
    /// What the system said; a copy that is not complete has no name of an object.
    pub fn adopt(&self, file: BorrowedFd<'_>, digest: &Digest) -> Result<Adopted, StoreError> {
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        if let Link::Made(adopted) = self.link(CWD, &from, AtFlags::SYMLINK_FOLLOW, digest)? {
            return Ok(adopted);
        }
        let mut batch = self.begin()?;
        let adopted = batch.copy(file, digest)?;
        batch.commit()?;
        Ok(adopted)
    }

    fn link(
        &self,
        dir: BorrowedFd<'_>,
        from: &str,
        flags: AtFlags,
        digest: &Digest,
    ) -> Result<Link, StoreError> {
        let path = digest.object_path();
        if self.demands_verity() {
            if self.has_object(digest)? {
                return Ok(Link::Made(Adopted::Present));
            }
            if !is_sealed_for(dir, from, flags, digest)? {
                return Ok(Link::Impossible);
            }
        }
        let mut linked = rustix::fs::linkat(dir, from, self.objects(), &path, flags);
        if linked == Err(Errno::NOENT) {
            // Either has no directory, or there is no such file.
            self.make_head(&path)?;
            linked = rustix::fs::linkat(dir, from, self.objects(), &path, flags);
        }
        match linked {
            Ok(()) => Ok(Link::Made(Adopted::Linked)),
            Err(Errno::EXIST) => Ok(Link::Made(Adopted::Present)),
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM) if self.has_object(digest)? => {
                Ok(Link::Made(Adopted::Present))
            }
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM) => Ok(Link::Impossible),
            Err(Errno::NOENT) => Ok(Link::NoFile),
            Err(error) => Ok(Err(error).during("link object", path)?),
        }
    }
}

/// Whether a file may be an object of a repository that demands verified ones: it is sealed for that. Of one that is not
/// there, linking it will tell.
fn is_sealed_for(
    dir: BorrowedFd<'_>,
    from: &str,
    flags: AtFlags,
    digest: &Digest,
) -> Result<bool, StoreError> {
    let mut how = OFlags::RDONLY | OFlags::CLOEXEC;
    how.set(OFlags::NOFOLLOW, !flags.contains(AtFlags::SYMLINK_FOLLOW));
    match rustix::fs::openat(dir, from, how, Mode::empty()) {
        Err(Errno::NOENT) => Ok(true),
        file => can_be_sealed(file.during("open", from)?, digest),
    }
}

/// What came of an attempt to link.
enum Link {
    Made(Adopted),
    Impossible,
    NoFile,
}

impl Batch<'_> {
    /// As [`Store::adopt`], but a copy is synced with everything else.
    ///
    /// # Errors
    /// As there.
    pub fn adopt(&mut self, file: BorrowedFd<'_>, digest: Digest) -> Result<Adopted, StoreError> {
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        let linked = self
            .store()
            .link(CWD, &from, AtFlags::SYMLINK_FOLLOW, &digest)?;
        match linked {
            Link::Made(adopted) => Ok(adopted),
            Link::Impossible | Link::NoFile => self.copy(file, &digest),
        }
    }

    /// As [`Batch::adopt`] for the file at `path` below `dir`; `None` when there is none.
    ///
    /// # Errors
    /// As there.
    pub fn adopt_at(
        &mut self,
        dir: BorrowedFd<'_>,
        path: &str,
        digest: Digest,
    ) -> Result<Option<Adopted>, StoreError> {
        match self.store().link(dir, path, AtFlags::empty(), &digest)? {
            Link::Made(adopted) => Ok(Some(adopted)),
            Link::NoFile => Ok(None),
            Link::Impossible => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let file = rustix::fs::openat(dir, path, flags, Mode::empty());
                let file = file.during("open", path)?;
                self.copy(file.as_fd(), &digest).map(Some)
            }
        }
    }

    fn copy(&mut self, file: BorrowedFd<'_>, digest: &Digest) -> Result<Adopted, StoreError> {
        if self.is_there(digest)? {
            return Ok(Adopted::Present);
        }
        self.copy_anew(file, digest)
    }

    /// The same, whatever is there already.
    pub(crate) fn copy_anew(
        &mut self,
        file: BorrowedFd<'_>,
        digest: &Digest,
    ) -> Result<Adopted, StoreError> {
        let writer = self.writer()?;
        let adopted = match rustix::fs::ioctl_ficlone(writer.file(), file) {
            Ok(()) => Adopted::Cloned,
            Err(_) => copy_all(file, writer.file()).during("copy object", digest.object_path())?,
        };
        self.keep(&writer, *digest)?;
        Ok(adopted)
    }
}

fn copy_all(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<Adopted> {
    let mut from = File::from(from.try_clone_to_owned()?);
    let mut to = File::from(to.try_clone_to_owned()?);
    // Whoever computed the digest has read it to the end.
    io::Seek::rewind(&mut from)?;
    io::copy(&mut from, &mut to)?;
    Ok(Adopted::Copied)
}
