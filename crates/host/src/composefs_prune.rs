//! Removing from the composefs repository what nothing needs.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::str::FromStr as _;

use composefs::{Collected, Store, StoreError};
use composefs_format::Digest;
use composefs_root::{RootError, Roots};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::Errno;

/// Where every deployment whose root is an image has its state, under the name of the image.
const STATES: &str = "state/deploy";

/// Why nothing was removed, or not all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposefsPruneError {
    /// It cannot be told what deployments need.
    #[error(transparent)]
    Root(#[from] RootError),
    /// The repository.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for ComposefsPruneError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Root(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// Removes what neither a name, nor a deployment of the system in `root`, nor `keep` needs.
///
/// # Errors
/// [`ComposefsPruneError`]; what was removed until then is gone.
pub fn composefs_prune(
    store: &mut Store,
    root: OwnedFd,
    keep: &[String],
    dry_run: bool,
) -> Result<Collected, ComposefsPruneError> {
    let mut keep = keep.to_vec();
    let states = states(&root)?;
    if !states.is_empty() {
        let needed = Roots::open(root, None)?.needed()?;
        let manifests = needed.manifests.iter();
        keep.extend(manifests.map(|digest| format!("oci-manifest-{digest}")));
        keep.extend(needed.images.iter().map(ToString::to_string));
        // Also those that no menu has: they may be running.
        keep.extend(states);
    }
    Ok(store.collect(&keep, dry_run)?)
}

fn states(root: &OwnedFd) -> Result<Vec<String>, durable::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = match rustix::fs::openat(root.as_fd(), STATES, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other.during("open", Path::new(STATES))?,
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&dir).during("read", Path::new(STATES))? {
        let entry = entry.during("read", Path::new(STATES))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if Digest::from_str(&name).is_ok() {
            names.push(name);
        }
    }
    Ok(names)
}
