//! Objects that another store has already: the same inode, where that is possible.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;

use composefs_format::Digest;
use durable::IoContext as _;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::{Store, StoreError};

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
        if self.has_object(digest)? {
            return Ok(Adopted::Present);
        }
        let path = digest.object_path();
        self.make_head(&path)?;
        let from = format!("/proc/self/fd/{}", file.as_raw_fd());
        match rustix::fs::linkat(CWD, &from, self.objects(), &path, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => Ok(Adopted::Linked),
            Err(Errno::EXIST) => Ok(Adopted::Present),
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM) => self.duplicate(file, &path),
            Err(error) => Ok(Err(error).during("link object", path)?),
        }
    }

    fn duplicate(&self, file: BorrowedFd<'_>, path: &str) -> Result<Adopted, StoreError> {
        let temporary = format!("{path}.{}.tmp", rustix::process::getpid().as_raw_nonzero());
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let copy = rustix::fs::openat(self.objects(), &temporary, flags, mode);
        let copy = File::from(copy.during("create object", path)?);
        let adopted = match rustix::fs::ioctl_ficlone(&copy, file) {
            Ok(()) => Adopted::Cloned,
            Err(_) => copy_all(file, &copy).during("copy object", path)?,
        };
        // Once it has its name, nobody looks at its bytes again.
        durable::sync_file(copy.as_fd(), Path::new(path))?;
        let objects = self.objects();
        let renamed = rustix::fs::renameat(objects, &temporary, objects, Path::new(path));
        renamed.during("name object", path)?;
        Ok(adopted)
    }
}

fn copy_all(from: BorrowedFd<'_>, mut to: &File) -> io::Result<Adopted> {
    let mut from = File::from(from.try_clone_to_owned()?);
    // Whoever computed the digest has read it to the end.
    io::Seek::rewind(&mut from)?;
    io::copy(&mut from, &mut to)?;
    Ok(Adopted::Copied)
}
