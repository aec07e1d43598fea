//! Mount points of the final file system, for as long as a stage works.

use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

/// Directories mounted on themselves, so that nothing is linked across the borders of the file systems that they will
/// be. They are unmounted, the last first, when this is dropped.
#[derive(Debug, Default)]
pub struct Mounts(Vec<PathBuf>);

/// A directory cannot be mounted.
#[derive(Debug, thiserror::Error)]
#[error("option mounts: cannot mount {}", path.display())]
pub struct MountError {
    path: PathBuf,
    source: Errno,
}

impl Classified for MountError {
    fn class(&self) -> ErrorClass {
        match self.source {
            Errno::NOENT | Errno::NOTDIR => ErrorClass::NotFound,
            Errno::PERM | Errno::ACCESS => ErrorClass::Denied,
            _ => ErrorClass::Io,
        }
    }
}

impl Mounts {
    /// Mounts each directory, with what is mounted below it, on itself.
    ///
    /// # Errors
    /// [`MountError`] names the first that cannot be mounted; nothing stays mounted.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<Self, MountError> {
        let mut mounts = Self::default();
        for path in paths {
            mounts.add(path).map_err(|source| MountError {
                path: path.clone(),
                source,
            })?;
        }
        Ok(mounts)
    }

    fn add(&mut self, path: &Path) -> Result<(), Errno> {
        rustix::mount::mount_bind_recursive(path, path)?;
        self.0.push(path.to_owned());
        rustix::mount::mount_change(path, MountPropagationFlags::PRIVATE)
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for path in self.0.drain(..).rev() {
            // Detached, it goes away with its last user even where somebody still is in there.
            let _gone = rustix::mount::unmount(&path, UnmountFlags::DETACH);
        }
    }
}
