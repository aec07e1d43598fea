//! An image over its objects.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use composefs_format::{Digest, VerityHasher};
use composefs_ioctls::fsverity::{MeasureVerityError, fs_ioc_measure_verity};
use durable::IoContext as _;
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::calls::{Description, attach, detach, path_of};
use super::{MountError, open_dir};
use crate::RootArgument;
use crate::layout::{IMAGES, OBJECTS};

/// Where the image is mounted before the overlay has it.
const LOWER: &str = "bootroot-image";

/// An image and the objects under it, of which overlays are made.
///
/// Overlays are made of these and not of one another: file systems on file systems on files soon are too many for Linux.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    lower: OwnedFd,
    objects: OwnedFd,
    /// Whether the kernel has to verify what is read.
    verified: bool,
    /// Where the image is mounted meanwhile, on kernels that want that.
    place: Option<BorrowedFd<'a>>,
}

impl<'a> Layers<'a> {
    /// The image that `argument` names. Before Linux 6.15 it needs a place while overlays are made: a directory that is
    /// made in `scratch`, and goes with this.
    ///
    /// # Errors
    /// [`MountError`].
    pub(crate) fn open(
        physical: BorrowedFd<'_>,
        scratch: BorrowedFd<'a>,
        argument: &RootArgument,
    ) -> Result<Self, MountError> {
        let image = open_image(physical, argument)?;
        let objects = open_dir(physical, OBJECTS)?;
        Self::over(&image, objects, !argument.unverified, scratch)
    }

    /// An image over a directory of objects.
    ///
    /// # Errors
    /// [`MountError`].
    pub(crate) fn over(
        image: &File,
        objects: OwnedFd,
        verified: bool,
        scratch: BorrowedFd<'a>,
    ) -> Result<Self, MountError> {
        let erofs = Description::new("erofs")?;
        erofs.set("source", &path_of(image.as_fd()))?;
        let mut layers = Self {
            lower: erofs.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)?,
            objects,
            verified,
            place: None,
        };
        if layers.root("a test").is_err() {
            attach(&layers.lower, lower_place(scratch)?, "the image")?;
            layers.place = Some(scratch);
        }
        Ok(layers)
    }

    /// The image over its objects, read-only, which has no place yet.
    pub(crate) fn root(&self, source: &str) -> Result<OwnedFd, MountError> {
        let overlay = self.described(".", source)?;
        overlay.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)
    }

    /// The directory `path` of the image over its objects, which may be changed; what is changed is in `state`.
    pub(crate) fn writable(
        &self,
        path: &str,
        state: BorrowedFd<'_>,
        source: &str,
    ) -> Result<OwnedFd, MountError> {
        // What is above gives the directory its mode, for everybody to see; nobody sees where the kernel works.
        let upper = made(state, "upper", 0o755)?;
        let work = made(state, "work", 0o700)?;
        let overlay = self.described(path, source)?;
        overlay.set_dir("upperdir", upper)?;
        overlay.set_dir("workdir", work)?;
        overlay.mount(MountAttrFlags::empty())
    }

    /// The same, with what is changed in memory.
    pub(crate) fn transient(&self, path: &str, source: &str) -> Result<OwnedFd, MountError> {
        let memory = Description::new("tmpfs")?.mount(MountAttrFlags::empty())?;
        self.writable(path, memory.as_fd(), source)
    }

    fn described(&self, path: &str, source: &str) -> Result<Description, MountError> {
        let overlay = Description::new("overlay")?;
        overlay.set("source", source)?;
        overlay.set("metacopy", "on")?;
        overlay.set("redirect_dir", "on")?;
        if self.verified {
            overlay.set("verity", "require")?;
        }
        overlay.set_dir("lowerdir+", open_dir(&self.lower, path)?)?;
        overlay.set_dir("datadir+", &self.objects)?;
        Ok(overlay)
    }
}

impl Drop for Layers<'_> {
    /// The overlays have the image by now.
    fn drop(&mut self) {
        if let Some(scratch) = self.place {
            // What stays mounted there does no harm.
            let _detached = detach(self.lower.as_fd(), "the image");
            let _unremoved = rustix::fs::unlinkat(scratch, LOWER, AtFlags::REMOVEDIR);
        }
    }
}

fn lower_place(scratch: BorrowedFd<'_>) -> Result<OwnedFd, durable::Error> {
    made(scratch, LOWER, 0o700)
}

pub(crate) fn made(base: BorrowedFd<'_>, name: &str, mode: u32) -> Result<OwnedFd, durable::Error> {
    match rustix::fs::mkdirat(base, name, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => open_dir(base, name),
        Err(error) => Err(error).during("create", name),
    }
}

/// The image, which is what its name says: the kernel sees to that, or it is read.
fn open_image(physical: BorrowedFd<'_>, argument: &RootArgument) -> Result<File, MountError> {
    let digest = argument.digest;
    let path = format!("{IMAGES}/{digest}");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let image = match rustix::fs::openat(physical, &path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {
            let present = images(physical);
            let digest = Box::new(digest);
            return Err(MountError::NoImage { digest, present });
        }
        other => File::from(other.during("open image", &path)?),
    };
    let actual = match measured(&image, &digest) {
        Ok(actual) => actual,
        Err(error) if !argument.unverified => {
            return Err(MountError::Unverified {
                digest: Box::new(digest),
                reason: error.to_string(),
            });
        }
        Err(_) => read_digest(&image, &digest).during("read image", &path)?,
    };
    if actual != digest {
        return Err(MountError::Damaged {
            expected: Box::new(digest),
            actual: Box::new(actual),
        });
    }
    Ok(image)
}

/// Whether the kernel verifies the image with this digest.
pub(crate) fn is_verified(physical: BorrowedFd<'_>, digest: &Digest) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let path = format!("{IMAGES}/{digest}");
    let image = rustix::fs::openat(physical, path, flags, Mode::empty());
    image.is_ok_and(|image| measured(&File::from(image), digest).is_ok())
}

/// What the kernel verifies it by.
fn measured(image: &File, like: &Digest) -> Result<Digest, MeasureVerityError> {
    let algorithm = like.algorithm().number();
    match like {
        Digest::Sha256(_) => fs_ioc_measure_verity(image, algorithm).map(Digest::Sha256),
        Digest::Sha512(_) => fs_ioc_measure_verity(image, algorithm).map(Digest::Sha512),
    }
}

fn read_digest(mut image: &File, like: &Digest) -> io::Result<Digest> {
    let mut hasher = VerityHasher::new(like.algorithm());
    io::copy(&mut image, &mut hasher)?;
    Ok(hasher.finish())
}

/// The images that there are, for whoever has to choose another one.
fn images(physical: BorrowedFd<'_>) -> String {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(physical, IMAGES, flags, Mode::empty());
    let names = opened.and_then(Dir::new).map(|dir| {
        let names = dir.flatten();
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names
            .filter(|name| name.parse::<Digest>().is_ok())
            .collect();
        names.sort_unstable();
        names
    });
    match names {
        Ok(names) if !names.is_empty() => names.join(", "),
        _ => "none is there".to_owned(),
    }
}
