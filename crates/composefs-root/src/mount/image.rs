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

/// The image over its objects, which has no place yet. Older kernels need a place for it meanwhile: a directory that is
/// made in `scratch`.
///
/// # Errors
/// [`MountError`].
pub(crate) fn mount_image(
    physical: BorrowedFd<'_>,
    scratch: BorrowedFd<'_>,
    argument: &RootArgument,
) -> Result<OwnedFd, MountError> {
    let image = open_image(physical, argument)?;
    let objects = open_dir(physical, OBJECTS)?;
    let erofs = Description::new("erofs")?;
    erofs.set("source", &path_of(image.as_fd()))?;
    let lower = erofs.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    // Since Linux 6.15 what lies below an overlay needs no place.
    if let Ok(overlay) = over_objects(&lower, &objects, argument) {
        return Ok(overlay);
    }
    let place = lower_place(scratch)?;
    attach(&lower, &place, "the image")?;
    let overlay = over_objects(&lower, &objects, argument);
    // The overlay has it now.
    detach(lower.as_fd(), "the image")?;
    let _unremoved = rustix::fs::unlinkat(scratch, LOWER, AtFlags::REMOVEDIR);
    overlay
}

fn over_objects(
    lower: &OwnedFd,
    objects: &OwnedFd,
    argument: &RootArgument,
) -> Result<OwnedFd, MountError> {
    let overlay = Description::new("overlay")?;
    overlay.set("source", &format!("composefs:{}", argument.digest))?;
    overlay.set("metacopy", "on")?;
    overlay.set("redirect_dir", "on")?;
    if !argument.unverified {
        overlay.set("verity", "require")?;
    }
    overlay.set_dir("lowerdir+", lower)?;
    overlay.set_dir("datadir+", objects)?;
    overlay.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)
}

fn lower_place(scratch: BorrowedFd<'_>) -> Result<OwnedFd, durable::Error> {
    match rustix::fs::mkdirat(scratch, LOWER, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => open_dir(scratch, LOWER),
        Err(error) => Err(error).during("create", LOWER),
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
