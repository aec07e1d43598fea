use std::collections::HashMap;

use durable::IoContext as _;
use ostree_format::{Checksum, ObjectKind, RepoMode};
use rustix::fs::AtFlags;

use crate::Repo;

/// From device and inode to the content object that lies there: a file with that inode is a hard
/// link that a checkout made.
#[derive(Debug, Clone, Default)]
pub struct DevInoCache(HashMap<(u64, u64), Checksum>);

impl DevInoCache {
    /// Look at every content object of a repository. Archives are never linked to, so theirs is
    /// empty.
    ///
    /// # Errors
    /// What the system said.
    pub fn of(repo: &Repo) -> Result<Self, durable::Error> {
        let mut cache = HashMap::new();
        if repo.mode() == RepoMode::Archive {
            return Ok(Self(cache));
        }
        for name in (0..=u8::MAX).map(|head| repo.objects_in(head)) {
            for name in name?.iter().filter(|name| name.kind == ObjectKind::File) {
                let path = name.loose_path(repo.mode());
                let stat = rustix::fs::statat(repo.objects(), &path, AtFlags::SYMLINK_NOFOLLOW)
                    .during("look at object", &path)?;
                cache.insert((stat.st_dev, stat.st_ino), name.checksum);
            }
        }
        Ok(Self(cache))
    }

    /// The object at this device and inode.
    #[must_use]
    pub fn get(&self, device: u64, inode: u64) -> Option<Checksum> {
        self.0.get(&(device, inode)).copied()
    }
}
