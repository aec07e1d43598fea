//! The mounts of the next root.
//!
//! They are put together where nobody looks for them, and moved to their place in one step. The place where that is done is
//! a mount of its own, which no other mount namespace sees the inside of: in a namespace of its own, a process that
//! dies takes it along.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use durable::{IoContext as _, crash_point};
use rustix::fs::{AtFlags, Mode, OFlags, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
    mount_change, mount_remount, move_mount, open_tree, unmount,
};

use super::NextRootError;
use super::config::{RootConfig, Transient};
use crate::dir;

/// Where the root is put together, below `/run`.
const WORKSHOP: &str = "ostree/.private/next-root-mounts";

/// The root in there.
const ROOT: &str = "ostree/.private/next-root-mounts/root";

/// Where the image is mounted before the overlay has it.
const LOWER: &str = "ostree/.private/next-root-mounts/lower";

/// What overlays write to, below `/run`; a number follows, as the running root may have such, too.
const ROOT_OVERLAY: &str = "ostree/.private/next-root";
const ETC_OVERLAY: &str = "ostree/transient-etc";

/// Where things are.
pub(super) struct Places<'a> {
    /// `/run`.
    pub(super) run: BorrowedFd<'a>,
    /// The physical root.
    pub(super) physical: BorrowedFd<'a>,
    /// The directory of the deployment, below the physical root.
    pub(super) deployment: BorrowedFd<'a>,
}

/// Says what could not be mounted.
fn failed(what: &'static str) -> impl FnOnce(Errno) -> NextRootError {
    move |errno| NextRootError::Mount {
        what,
        source: errno.into(),
    }
}

impl Places<'_> {
    /// Puts the root together; the path, below `/run`, of what a transient `/etc` is written to.
    pub(super) fn assemble(&self, config: &RootConfig) -> Result<Option<String>, NextRootError> {
        self.open_workshop()?;
        self.mount_root(config)?;
        self.mount_boot()?;
        let etc = self.mount_etc(config)?;
        let sysroot = bound(self.physical, "/sysroot")?;
        let sysroot = self.attach(&sysroot, "sysroot", "/sysroot")?;
        let read_only = MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(path_of(sysroot.as_fd()), read_only, "").map_err(failed("/sysroot"))?;
        Ok(etc)
    }

    fn open_workshop(&self) -> Result<(), NextRootError> {
        close_workshop(self.run)?;
        dir::make_all(self.run, WORKSHOP, 0o700)?;
        let place = dir::open(self.run, WORKSHOP)?;
        let flags = MountFlags::NODEV | MountFlags::SILENT;
        mount(
            "tmpfs",
            path_of(place.as_fd()),
            "tmpfs",
            flags,
            c"mode=0700",
        )
        .map_err(failed("the place for the mounts"))?;
        // Otherwise what is mounted in it could not be moved out of it again.
        let place = dir::open(self.run, WORKSHOP)?;
        mount_change(path_of(place.as_fd()), MountPropagationFlags::PRIVATE)
            .map_err(failed("the place for the mounts"))?;
        Ok(dir::make_all(self.run, ROOT, 0o755)?)
    }

    /// Lets what was put together be what is mounted at `target`, in one step.
    pub(super) fn move_to(&self, target: &str) -> Result<(), NextRootError> {
        dir::make_all(self.run, target, 0o755)?;
        let (from, to) = (dir::open(self.run, ROOT)?, dir::open(self.run, target)?);
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(from.as_fd(), "", to.as_fd(), "", flags).map_err(failed("all"))?;
        crash_point("sysroot:next-root-mounted");
        Ok(close_workshop(self.run)?)
    }

    /// The image over the objects of the repository.
    fn mount_root(&self, config: &RootConfig) -> Result<(), NextRootError> {
        let lower = self.mount_lower()?;
        let objects = dir::open(self.physical, "ostree/repo/objects")?;
        let mut options = format!(
            "metacopy=on,redirect_dir=on,lowerdir={}::{}",
            path_of(lower.as_fd()),
            path_of(objects.as_fd())
        );
        if config.composefs.needs_verity() {
            options.push_str(",verity=require");
        }
        if config.root != Transient::No {
            let (_, upper, work) = self.overlay_directories(ROOT_OVERLAY)?;
            let (upper, work) = (path_of(upper.as_fd()), path_of(work.as_fd()));
            options.push_str(&format!(",upperdir={upper},workdir={work}"));
        }
        let flags = match config.root {
            Transient::Writable => MountFlags::empty(),
            Transient::No | Transient::ReadOnly => MountFlags::RDONLY,
        };
        let target = dir::open(self.run, ROOT)?;
        let options = c_string(options)?;
        let mounted = mount(
            "composefs",
            path_of(target.as_fd()),
            "overlay",
            flags | MountFlags::SILENT,
            options.as_c_str(),
        );
        // The overlay has it now.
        let gone = unmount(path_of(lower.as_fd()), UnmountFlags::DETACH);
        mounted.map_err(failed("the image"))?;
        gone.map_err(failed("the image"))
    }

    /// The image by itself.
    fn mount_lower(&self) -> Result<OwnedFd, NextRootError> {
        dir::make_all(self.run, LOWER, 0o700)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let image = rustix::fs::openat(self.deployment, super::IMAGE, flags, Mode::empty())
            .during("open image", super::IMAGE)?;
        let place = dir::open(self.run, LOWER)?;
        let flags = MountFlags::RDONLY | MountFlags::SILENT;
        let (source, target) = (path_of(image.as_fd()), path_of(place.as_fd()));
        match mount(source, target, "erofs", flags, None) {
            // Before Linux 6.12, or where it was left out, an image needs a loop device.
            Err(Errno::NOTBLK | Errno::NODEV | Errno::INVAL) => {
                mount_by_loop(image.as_fd(), place.as_fd())?;
            }
            other => other.map_err(failed("the image"))?,
        }
        Ok(dir::open(self.run, LOWER)?)
    }

    /// `/boot`, when it is not a file system of its own.
    fn mount_boot(&self) -> Result<(), NextRootError> {
        let is_here = dir::read_link_optional(self.physical, "boot/loader");
        if !is_here.is_ok_and(|link| link.is_some()) {
            return Ok(());
        }
        let boot = bound(dir::open(self.physical, "boot")?.as_fd(), "/boot")?;
        self.attach(&boot, "boot", "/boot")?;
        Ok(())
    }

    fn mount_etc(&self, config: &RootConfig) -> Result<Option<String>, NextRootError> {
        if config.transient_etc {
            return self.mount_transient_etc().map(Some);
        }
        let etc = dir::open(self.deployment, "etc")?;
        let etc = self.attach(&bound(etc.as_fd(), "/etc")?, "etc", "/etc")?;
        mount_remount(path_of(etc.as_fd()), MountFlags::BIND, "").map_err(failed("/etc"))?;
        Ok(None)
    }

    fn mount_transient_etc(&self) -> Result<String, NextRootError> {
        let root = dir::open(self.run, ROOT)?;
        let lower = dir::open(root.as_fd(), "usr/etc")?;
        let (name, upper, work) = self.overlay_directories(ETC_OVERLAY)?;
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            path_of(lower.as_fd()),
            path_of(upper.as_fd()),
            path_of(work.as_fd())
        );
        let etc = dir::open(root.as_fd(), "etc")?;
        let options = c_string(options)?;
        let flags = MountFlags::SILENT;
        let target = path_of(etc.as_fd());
        mount("overlay", target, "overlay", flags, options.as_c_str()).map_err(failed("/etc"))?;
        Ok(name)
    }

    /// New directories for an overlay, below the first name that is free: their parent, and both.
    fn overlay_directories(&self, base: &str) -> Result<(String, OwnedFd, OwnedFd), NextRootError> {
        let mut number = 0_u32;
        let name = loop {
            let name = format!("{base}.{number}");
            if !dir::exists(self.run, &name)? {
                break name;
            }
            number = number.saturating_add(1);
        };
        let make = |part: &str, mode| {
            let path = format!("{name}/{part}");
            dir::make_all(self.run, &path, mode)?;
            dir::open(self.run, path)
        };
        let (upper, work) = (make("upper", 0o755)?, make("work", 0o700)?);
        Ok((name, upper, work))
    }

    /// Mounts what has no place yet over a directory of the next root.
    fn attach(
        &self,
        tree: &OwnedFd,
        below: &str,
        what: &'static str,
    ) -> Result<OwnedFd, NextRootError> {
        let place = format!("{ROOT}/{below}");
        let over = dir::open(self.run, &place)?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree.as_fd(), "", over.as_fd(), "", flags).map_err(failed(what))?;
        Ok(dir::open(self.run, &place)?)
    }
}

/// Takes away what was being put together.
pub(super) fn close_workshop(run: BorrowedFd<'_>) -> Result<(), durable::Error> {
    unmount_all(run, WORKSHOP).map(drop)
}

/// Whether anything is mounted at `target` below `/run`.
pub(super) fn is_mounted(run: BorrowedFd<'_>, target: &str) -> Result<bool, durable::Error> {
    match statx(run, target, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error).during("look at", target),
    }
}

/// Takes away everything that is mounted at `target` below `/run`; whether anything was.
pub(super) fn unmount_all(run: BorrowedFd<'_>, target: &str) -> Result<bool, durable::Error> {
    let mut was = false;
    while let Some(place) = dir::open_optional(run, target)? {
        match unmount(path_of(place.as_fd()), UnmountFlags::DETACH) {
            Ok(()) => was = true,
            // Nothing is mounted there any more.
            Err(Errno::INVAL) => return Ok(was),
            Err(error) => return Err(error).during("unmount", target),
        }
    }
    Ok(was)
}

/// The same directory as a mount of its own, which has no place yet.
fn bound(dir: BorrowedFd<'_>, what: &'static str) -> Result<OwnedFd, NextRootError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(dir, "", flags).map_err(failed(what))
}

/// `mount` knows how to get a loop device, and gives it back when the file system goes.
fn mount_by_loop(image: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), NextRootError> {
    let of_ours =
        |fd: BorrowedFd<'_>| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
    let failed = |source| NextRootError::Mount {
        what: "the image by a loop device",
        source,
    };
    let said = Command::new("mount")
        .args(["-t", "erofs", "-o", "ro,loop"])
        .args([of_ours(image), of_ours(place)])
        .stdin(Stdio::null())
        .output()
        .map_err(failed)?;
    if said.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&said.stderr).trim().to_owned();
    Err(failed(io::Error::other(words)))
}

/// A path that leads to an open file, wherever it is.
fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn c_string(text: String) -> Result<std::ffi::CString, NextRootError> {
    std::ffi::CString::new(text).map_err(|_| failed("the image")(Errno::INVAL))
}
