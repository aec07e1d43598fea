//! Mounting images, for the running system and for reading them.

mod calls;
mod error;
mod image;
mod usr;

use std::os::fd::{AsFd, OwnedFd};

use durable::IoContext as _;
use rustix::fs::{Mode, OFlags};

pub use error::MountError;
pub use usr::overlay_usr;

pub(crate) use calls::{attach, bound, make_read_only};
pub(crate) use image::{Layers, is_verified, made};

/// A directory, wherever a link to it leads (`/var` of a deployment is one).
pub(crate) fn open_dir(base: impl AsFd, path: &str) -> Result<OwnedFd, durable::Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(base, path, flags, Mode::empty()).during("open directory", path)
}
