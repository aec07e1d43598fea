//! What is mounted over directories of a root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use durable::IoContext as _;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::MountKind;
use crate::mount::{Description, MountError, attach, bound, open_dir};

/// Mounts what `kind` says over the directory `name` of the root; `state` is that of the deployment.
pub(super) fn mount_over(
    root: BorrowedFd<'_>,
    state: BorrowedFd<'_>,
    name: &str,
    kind: MountKind,
) -> Result<(), MountError> {
    let over = || open_dir(root, name);
    match kind {
        MountKind::None => Ok(()),
        MountKind::Bind => {
            let kept = open_dir(state, name)?;
            attach(bound(kept, name)?, over()?, name)
        }
        MountKind::Overlay => {
            let kept = open_dir(state, name)?;
            let over = over()?;
            attach(overlay(&over, &kept, "overlay")?, &over, name)
        }
        MountKind::Transient => {
            let over = over()?;
            attach(transient(&over, "transient")?, &over, name)
        }
    }
}

/// A directory under an overlay whose changes are in memory.
pub(super) fn transient(lower: impl AsFd, source: &str) -> Result<OwnedFd, MountError> {
    let memory = Description::new("tmpfs")?.mount(MountAttrFlags::empty())?;
    overlay(lower, memory, source)
}

/// A directory under an overlay whose changes are in `state`.
fn overlay(lower: impl AsFd, state: impl AsFd, source: &str) -> Result<OwnedFd, MountError> {
    // What is above gives the directory its mode, for everybody to see; nobody sees where the kernel works.
    let upper = made(state.as_fd(), "upper", 0o755)?;
    let work = made(state.as_fd(), "work", 0o700)?;
    let overlay = Description::new("overlay")?;
    overlay.set("source", source)?;
    overlay.set_dir("lowerdir+", lower)?;
    overlay.set_dir("upperdir", upper)?;
    overlay.set_dir("workdir", work)?;
    overlay.mount(MountAttrFlags::empty())
}

fn made(base: BorrowedFd<'_>, name: &str, mode: u32) -> Result<OwnedFd, durable::Error> {
    match rustix::fs::mkdirat(base, Path::new(name), Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => open_dir(base, name),
        Err(error) => Err(error).during("create", name),
    }
}
