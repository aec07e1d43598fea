//! The mounts of the next root of a deployment.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};

use durable::IoContext as _;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_remount, move_mount,
    open_tree, unmount,
};

use super::config::{RootConfig, Transient};
use super::workshop::{NextRootMountError, Workshop, failed, path_of};
use crate::dir;

/// Where the image is mounted before the overlay has it.
const LOWER: &str = "lower";

/// What overlays write to, below `/run`; a number follows, as the running root may have such, too.
const ROOT_OVERLAY: &str = "ostree/.private/next-root";
const ETC_OVERLAY: &str = "ostree/transient-etc";

/// Where things are.
pub(super) struct Places<'a> {
    /// Where the root is put together.
    pub(super) workshop: &'a Workshop<'a>,
    /// The physical root.
    pub(super) physical: BorrowedFd<'a>,
    /// The directory of the deployment, below the physical root.
    pub(super) deployment: BorrowedFd<'a>,
}

impl Places<'_> {
    /// Puts the root together; the path, below `/run`, of what a transient `/etc` is written to.
    pub(super) fn assemble(
        &self,
        config: &RootConfig,
    ) -> Result<Option<String>, NextRootMountError> {
        self.mount_root(config)?;
        self.mount_boot()?;
        let etc = self.mount_etc(config)?;
        let sysroot = bound(self.physical, "/sysroot")?;
        let sysroot = self.attach(&sysroot, "sysroot", "/sysroot")?;
        let read_only = MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(path_of(sysroot.as_fd()), read_only, "").map_err(failed("/sysroot"))?;
        Ok(etc)
    }

    /// The image over the objects of the repository.
    fn mount_root(&self, config: &RootConfig) -> Result<(), NextRootMountError> {
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
        let target = self.workshop.root()?;
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
    fn mount_lower(&self) -> Result<OwnedFd, NextRootMountError> {
        let within = self.workshop.scratch()?;
        dir::make_all(within.as_fd(), LOWER, 0o700)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let image = rustix::fs::openat(self.deployment, super::IMAGE, flags, Mode::empty())
            .during("open image", super::IMAGE)?;
        let place = dir::open(within.as_fd(), LOWER)?;
        let flags = MountFlags::RDONLY | MountFlags::SILENT;
        let (source, target) = (path_of(image.as_fd()), path_of(place.as_fd()));
        match mount(source, target, "erofs", flags, None) {
            // Before Linux 6.12, or where it was left out, an image needs a loop device.
            Err(Errno::NOTBLK | Errno::NODEV | Errno::INVAL) => {
                mount_by_loop(image.as_fd(), place.as_fd())?;
            }
            other => other.map_err(failed("the image"))?,
        }
        Ok(dir::open(within.as_fd(), LOWER)?)
    }

    /// `/boot`, when it is not a file system of its own.
    fn mount_boot(&self) -> Result<(), NextRootMountError> {
        let is_here = dir::read_link_optional(self.physical, "boot/loader");
        if !is_here.is_ok_and(|link| link.is_some()) {
            return Ok(());
        }
        let boot = bound(dir::open(self.physical, "boot")?.as_fd(), "/boot")?;
        self.attach(&boot, "boot", "/boot")?;
        Ok(())
    }

    fn mount_etc(&self, config: &RootConfig) -> Result<Option<String>, NextRootMountError> {
        if config.transient_etc {
            return self.mount_transient_etc().map(Some);
        }
        let etc = dir::open(self.deployment, "etc")?;
        let etc = self.attach(&bound(etc.as_fd(), "/etc")?, "etc", "/etc")?;
        mount_remount(path_of(etc.as_fd()), MountFlags::BIND, "").map_err(failed("/etc"))?;
        Ok(None)
    }

    fn mount_transient_etc(&self) -> Result<String, NextRootMountError> {
        let root = self.workshop.root()?;
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
    fn overlay_directories(
        &self,
        base: &str,
    ) -> Result<(String, OwnedFd, OwnedFd), NextRootMountError> {
        let (run, mut number) = (self.workshop.run(), 0_u32);
        let name = loop {
            let name = format!("{base}.{number}");
            if !dir::exists(run, &name)? {
                break name;
            }
            number = number.saturating_add(1);
        };
        let make = |part: &str, mode| {
            let path = format!("{name}/{part}");
            dir::make_all(run, &path, mode)?;
            dir::open(run, path)
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
    ) -> Result<OwnedFd, NextRootMountError> {
        let root = self.workshop.root()?;
        let over = dir::open(root.as_fd(), below)?;
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(tree.as_fd(), "", over.as_fd(), "", flags).map_err(failed(what))?;
        Ok(dir::open(root.as_fd(), below)?)
    }
}

/// The same directory as a mount of its own, which has no place yet.
fn bound(dir: BorrowedFd<'_>, what: &'static str) -> Result<OwnedFd, NextRootMountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(dir, "", flags).map_err(failed(what))
}

/// `mount` knows how to get a loop device, and gives it back when the file system goes.
fn mount_by_loop(image: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<(), NextRootMountError> {
    let of_ours =
        |fd: BorrowedFd<'_>| format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd());
    let failed = |source| NextRootMountError::Mount {
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

fn c_string(text: String) -> Result<std::ffi::CString, NextRootMountError> {
    std::ffi::CString::new(text).map_err(|_| failed("the image")(Errno::INVAL))
}
