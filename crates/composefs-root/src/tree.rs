//! The tree of an image, mounted for reading.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use composefs_format::Digest;
use durable::IoContext as _;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::directory::names_in;
use crate::mount::{Layers, is_verified};
use crate::{RootArgument, RootEntry, RootError, Roots};

/// Largest text that is read whole.
const MAX_TEXT: u64 = 1024 * 1024;

/// A mounted image. It is gone when this is.
#[derive(Debug)]
pub(crate) struct ImageRoot(OwnedFd);

impl Roots {
    /// Mount an image for reading. What the kernel does not verify is read all the same.
    pub(crate) fn open_image(&self, id: &Digest) -> Result<ImageRoot, RootError> {
        let argument = RootArgument {
            digest: *id,
            unverified: !is_verified(self.physical.as_fd(), id),
        };
        let physical = self.physical.as_fd();
        let mount = Layers::open(physical, physical, &argument)?.root("an image that is read")?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&mount, ".", flags, Mode::empty());
        Ok(ImageRoot(root.during("open", "the image")?))
    }

    /// The root directory of an image. It is mounted for reading as long as that is open.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn open_root(&self, id: &Digest) -> Result<OwnedFd, RootError> {
        Ok(self.open_image(id)?.0)
    }

    /// The names and texts of files in a directory of an image; none when there is no such directory.
    ///
    /// # Errors
    /// [`RootError`].
    pub fn texts(&self, id: &Digest, dir: &Path) -> Result<Vec<(String, String)>, RootError> {
        let image = self.open_image(id)?;
        let dir = dir.display();
        let names = names_in(image.fd(), &dir.to_string())?;
        let files = names
            .into_iter()
            .filter(|(_, kind)| *kind == FileType::RegularFile);
        let texts = files.map(|(name, _)| {
            let text = image.text(&format!("{dir}/{name}"))?;
            Ok((name, text))
        });
        texts.collect()
    }

    /// The images that the kernel has to verify, as boot entries say, or else they do not boot; and the running one, when it
    /// has to.
    ///
    /// # Errors
    /// What the system said.
    pub fn strict_images(&self) -> Result<BTreeSet<Digest>, RootError> {
        let told = |entry: RootEntry| {
            RootArgument::find(&entry.kernel_args(), None)
                .ok()
                .flatten()
        };
        let menu = self.menu()?.into_iter().filter_map(told);
        let all = menu.chain(self.booted().copied());
        let strict = all.filter(|argument| !argument.unverified);
        Ok(strict.map(|argument| argument.digest).collect())
    }

    /// What the kernel is told to mount this image.
    pub(crate) fn argument_for(&self, id: &Digest) -> RootArgument {
        RootArgument {
            digest: *id,
            unverified: !is_verified(self.physical.as_fd(), id),
        }
    }
}

impl ImageRoot {
    /// What is at `path`, links followed as if this were the root; `None` when nothing is.
    pub(crate) fn open(&self, path: &str) -> Result<Option<OwnedFd>, durable::Error> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.0, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error).during("open", path),
        }
    }

    /// The text at `path`; nothing when there is none.
    pub(crate) fn text(&self, path: &str) -> Result<String, durable::Error> {
        let mut bytes = Vec::new();
        if let Some(found) = self.open(path)? {
            let content = File::from(found);
            content
                .take(MAX_TEXT)
                .read_to_end(&mut bytes)
                .during("read", path)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The default of `/etc`; that of an image that was made of a commit of OSTree is in `/usr`.
    pub(crate) fn etc(&self) -> Result<Option<OwnedFd>, durable::Error> {
        if names_in(self.fd(), "etc")?.is_empty()
            && let Some(found) = self.open("usr/etc")?
        {
            return Ok(Some(found));
        }
        self.open("etc")
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
