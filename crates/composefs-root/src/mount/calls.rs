//! The calls by which Linux mounts things that have no place yet.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

use super::MountError;

/// A file system that is being described.
pub(crate) struct Description {
    kind: &'static str,
    fd: OwnedFd,
}

/// Says which call failed.
pub(crate) fn failed(what: impl Into<String>) -> impl FnOnce(Errno) -> MountError {
    |errno| MountError::Mount {
        what: what.into(),
        source: errno.into(),
        explanation: String::new(),
    }
}

impl Description {
    pub(crate) fn new(kind: &'static str) -> Result<Self, MountError> {
        let fd = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC);
        let fd = fd.map_err(failed(format!("mount a file system of type {kind}")))?;
        Ok(Self { kind, fd })
    }

    pub(crate) fn set(&self, key: &str, value: &str) -> Result<(), MountError> {
        let set = rustix::mount::fsconfig_set_string(self.fd.as_fd(), key, value);
        set.map_err(|errno| self.explained(errno, format!("set {key}={value} of {}", self.kind)))
    }

    /// Names a directory, wherever it is.
    pub(crate) fn set_dir(&self, key: &str, dir: impl AsFd) -> Result<(), MountError> {
        self.set(key, &path_of(dir.as_fd()))
    }

    /// The file system, which is nowhere yet.
    pub(crate) fn mount(self, attributes: MountAttrFlags) -> Result<OwnedFd, MountError> {
        let what = || format!("mount a file system of type {}", self.kind);
        let created = rustix::mount::fsconfig_create(self.fd.as_fd());
        created.map_err(|errno| self.explained(errno, what()))?;
        rustix::mount::fsmount(self.fd.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
            .map_err(failed(what()))
    }

    /// What the kernel says of a failure can be read from the description.
    fn explained(&self, errno: Errno, what: String) -> MountError {
        let mut buffer = [0; 1024];
        let mut explanation = String::new();
        while let Ok(count @ 1..) = rustix::io::read(&self.fd, &mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default());
            explanation.push_str(": ");
            explanation.push_str(text.trim_start_matches("e ").trim());
        }
        if errno == Errno::NOTBLK {
            explanation
                .push_str(": the kernel cannot mount an image that is a file, as Linux 6.12 can");
        }
        MountError::Mount {
            what,
            source: errno.into(),
            explanation,
        }
    }
}

/// A path that leads to an open file, wherever it is.
pub(crate) fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Mounts what has no place yet over an open directory.
pub(crate) fn attach(mount: impl AsFd, over: impl AsFd, what: &str) -> Result<(), MountError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount.as_fd(), "", over.as_fd(), "", flags)
        .map_err(failed(format!("mount {what}")))
}

/// The same directory as a mount of its own, which has no place yet.
pub(crate) fn bound(dir: impl AsFd, what: &str) -> Result<OwnedFd, MountError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(dir.as_fd(), "", flags).map_err(failed(format!("bind {what}")))
}

/// Lets nothing be written through a mount that has its place.
pub(crate) fn make_read_only(mount: BorrowedFd<'_>, what: &str) -> Result<(), MountError> {
    let flags = MountFlags::BIND | MountFlags::RDONLY;
    rustix::mount::mount_remount(path_of(mount), flags, "")
        .map_err(failed(format!("make {what} read-only")))
}

/// Takes a mount away from its place, as soon as nothing uses it.
pub(crate) fn detach(mount: BorrowedFd<'_>, what: &str) -> Result<(), MountError> {
    rustix::mount::unmount(path_of(mount), UnmountFlags::DETACH)
        .map_err(failed(format!("unmount {what}")))
}
