//! What is local in `/etc`, carried over to a deployment that is completed.
//!
//! The directory of its `/etc` is usually replaced as a whole. Where it is mounted in the next root, that would not be
//! seen there: then what is in it is replaced.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use composefs_format::Digest;
use durable::{IoContext as _, crash_point};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, statat};
use rustix::io::Errno;

use crate::mount::open_dir;
use crate::roots::Locked;
use crate::tree::ImageRoot;
use crate::{RootError, Roots};

/// `/etc` of the next root, below `/run`.
const ETC: &str = "nextroot/etc";

/// How `/etc` of a deployment is used by the next root.
enum Use {
    /// It is not.
    None,
    /// The directory itself is mounted there.
    Mounted,
    /// What is mounted there is something else: an overlay, or the one in the image.
    Otherwise,
}

impl Locked<'_> {
    /// Carry what is local in the `/etc` of `local` over to that of a deployment.
    pub(crate) fn carry_etc(
        &self,
        id: &Digest,
        image: &ImageRoot,
        local: &Digest,
    ) -> Result<(), RootError> {
        match self.roots.use_of_etc(id)? {
            Use::None => self.renew_etc(id, image, local),
            Use::Mounted => self.refill_etc(id, image, local),
            // What an overlay has is its own, and the rest is forgotten.
            Use::Otherwise => Ok(()),
        }
    }

    /// Whoever is killed here has replaced some of it, and calling again replaces all.
    fn refill_etc(&self, id: &Digest, image: &ImageRoot, local: &Digest) -> Result<(), RootError> {
        let physical = self.roots.physical.as_fd();
        let new = self.make_new_etc(id, image, local)?;
        let etc = Roots::etc_path(id);
        exchange_contents(
            open_dir(physical, &new)?.as_fd(),
            open_dir(physical, &etc)?.as_fd(),
        )?;
        durable::sync_filesystem(physical)?;
        crash_point("roots:etc-refilled");
        Ok(durable::remove_all(physical, Path::new(&new))?)
    }
}

impl Roots {
    fn use_of_etc(&self, id: &Digest) -> Result<Use, RootError> {
        let Some(run) = self
            .run()
            .filter(|_| self.is_next_root(id).unwrap_or_default())
        else {
            return Ok(Use::None);
        };
        let inode = |base: BorrowedFd<'_>, path: &str| {
            let stat = statat(base, path, AtFlags::empty()).during("look at", path)?;
            Ok::<_, durable::Error>((stat.st_dev, stat.st_ino))
        };
        let kept = inode(self.physical.as_fd(), &Self::etc_path(id))?;
        Ok(match inode(run, ETC)? == kept {
            true => Use::Mounted,
            false => Use::Otherwise,
        })
    }
}

/// Everything in `old` gets into `new`, and the other way round.
fn exchange_contents(new: BorrowedFd<'_>, old: BorrowedFd<'_>) -> Result<(), durable::Error> {
    let (coming, going) = (names(new)?, names(old)?);
    for name in &coming {
        let flags = match going.contains(name) {
            true => RenameFlags::EXCHANGE,
            false => RenameFlags::NOREPLACE,
        };
        let renamed = rustix::fs::renameat_with(new, name, old, name, flags);
        renamed.during("rename over", Path::new(&*name.to_string_lossy()))?;
    }
    for name in going.iter().filter(|name| !coming.contains(name)) {
        match rustix::fs::renameat(old, name, new, name) {
            Err(Errno::NOENT) => {}
            other => other.during("rename over", Path::new(&*name.to_string_lossy()))?,
        }
    }
    Ok(())
}

fn names(dir: BorrowedFd<'_>) -> Result<Vec<CString>, durable::Error> {
    let mut names = Vec::new();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::openat(dir, ".", flags, Mode::empty()).during("open directory", "etc")?;
    for entry in Dir::new(dir).during("list", "etc")? {
        let name = entry.during("list", "etc")?.file_name().to_owned();
        if !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name);
        }
    }
    Ok(names)
}
