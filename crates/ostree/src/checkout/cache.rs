//! Unpacked files of an archive, kept so that checkouts in user mode can be linked.
//!
//! Source: libostree's `uncompressed-objects-cache`, and `core.enable-uncompressed-cache` in
//! `ostree.repo-config(5)`. The first checkout of a file leaves a link there, later ones link that.

use std::path::Path;

use durable::IoContext as _;
use ostree_format::{Checksum, RepoMode};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::CheckoutError;
use super::walk::{Making, Walk};

/// Where the files are, below the repository.
pub(crate) const CACHE: &str = "uncompressed-objects-cache";

fn path_of(checksum: &Checksum) -> String {
    let name = checksum.to_string();
    let (head, rest) = name.split_at(2);
    format!("{CACHE}/{head}/{rest}.file")
}

impl Walk<'_> {
    /// Whether files of this checkout are taken from the cache and left there.
    pub(super) fn caches(&self) -> bool {
        let config = &self.repo.config().file;
        self.repo.mode() == RepoMode::Archive
            && self.user_mode
            && self.options.cache
            && !self.options.force_copy
            && config.get_bool("core", "enable-uncompressed-cache") != Some(false)
    }

    /// Link a file out of the cache. `false` when that cannot be done.
    pub(super) fn link_cached(
        &self,
        dir: &Making,
        name: &str,
        checksum: &Checksum,
    ) -> Result<bool, CheckoutError> {
        let path = path_of(checksum);
        match rustix::fs::linkat(self.repo.dir(), &path, &dir.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::EXIST | Errno::MLINK | Errno::XDEV | Errno::PERM) => {
                Ok(false)
            }
            Err(error) => Err(error)
                .during("link", dir.path.join(name))
                .map_err(Into::into),
        }
    }

    /// Leave a file that was checked out in the cache. A file system that cannot do that has none.
    pub(super) fn remember(
        &self,
        dir: &Making,
        name: &str,
        checksum: &Checksum,
    ) -> Result<(), CheckoutError> {
        let path = path_of(checksum);
        let parent = Path::new(&path).parent().unwrap_or(Path::new(CACHE));
        durable::create_dir_all(self.repo.dir(), parent, 0o777)?;
        match rustix::fs::linkat(&dir.fd, name, self.repo.dir(), &path, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST | Errno::MLINK | Errno::XDEV | Errno::PERM) => Ok(()),
            Err(error) => Err(error).during("link", &path).map_err(Into::into),
        }
    }
}
