//! What is mounted over directories of a root.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::MountKind;
use crate::directory::names_in;
use crate::mount::{Layers, MountError, attach, bound, open_dir};

/// Mounts what `kind` says over the directory `name` of the root; `state` is that of the deployment.
pub(super) fn mount_over(
    layers: &Layers<'_>,
    root: BorrowedFd<'_>,
    state: BorrowedFd<'_>,
    name: &str,
    kind: MountKind,
) -> Result<(), MountError> {
    let kept = || open_dir(state, name);
    let mount: OwnedFd = match kind {
        MountKind::None => return Ok(()),
        MountKind::Bind => bound(kept()?, name)?,
        MountKind::Overlay => {
            layers.writable(default_of(root, name)?, kept()?.as_fd(), "overlay")?
        }
        MountKind::Transient => layers.transient(default_of(root, name)?, "transient")?,
    };
    attach(mount, open_dir(root, name)?, name)
}

/// Where the image has what comes with it: that of an image that was made of a commit of OSTree has its `/etc` in `/usr`.
fn default_of<'a>(root: BorrowedFd<'_>, name: &'a str) -> Result<&'a str, durable::Error> {
    let is_empty = names_in(root, name)?.is_empty();
    let moved = name == "etc" && is_empty && open_dir(root, "usr/etc").is_ok();
    Ok(if moved { "usr/etc" } else { name })
}
