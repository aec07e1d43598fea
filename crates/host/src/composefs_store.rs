//! The composefs repository below a physical root, whether there is an OSTree repository beside it or not.

use std::os::fd::BorrowedFd;
use std::path::Path;

use composefs::{Store, StoreError};
use composefs_format::Algorithm;
use durable::IoContext as _;
use rustix::fs::AtFlags;
use rustix::io::Errno;

/// Where it is, as bootc has it.
pub(crate) const COMPOSEFS: &str = "composefs";

/// Where programs look for the containers of a system, and where they are beside this repository.
const BOOTC_LINK: &str = "ostree/bootc";
const BOOTC: &str = "composefs/bootc";

/// The repository, if there is one.
///
/// # Errors
/// [`StoreError`].
pub fn composefs_store(root: BorrowedFd<'_>) -> Result<Option<Store>, StoreError> {
    Store::open(root, Path::new(COMPOSEFS))
}

/// The repository, made with digests of `algorithm` where there is none.
///
/// # Errors
/// [`StoreError`]; what was made until then stays.
pub fn ensure_composefs_store(
    root: BorrowedFd<'_>,
    algorithm: Algorithm,
) -> Result<Store, StoreError> {
    Store::ensure(root, Path::new(COMPOSEFS), algorithm)
}

/// Lets containers of the system be kept beside the composefs repository, with the link by which other programs
/// find them; what is there already stays. For systems without deployments of OSTree.
///
/// # Errors
/// [`StoreError::Io`]; what was made until then stays.
pub fn link_bootc(root: BorrowedFd<'_>) -> Result<(), StoreError> {
    durable::create_dir_all(root, Path::new(BOOTC), 0o755)?;
    durable::create_dir_all(root, Path::new("ostree"), 0o755)?;
    match rustix::fs::statat(root, BOOTC_LINK, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(()),
        Err(Errno::NOENT) => {
            let target = format!("../{BOOTC}");
            let (link, target) = (Path::new(BOOTC_LINK), Path::new(&target));
            Ok(durable::replace_symlink(root, link, target)?)
        }
        Err(error) => Ok(Err(error).during("look at", BOOTC_LINK)?),
    }
}
