//! Files that become objects themselves, because nobody else wants them.

use std::os::fd::BorrowedFd;
use std::path::Path;

use durable::IoContext as _;
use ostree_format::{Checksum, ObjectKind, ObjectName};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::write_content::OBJECT_TIMES;
use crate::{Transaction, WriteError};

impl Transaction<'_> {
    /// Make the file `name` in `dir`, whose content and metadata are those of `checksum` in the form of this
    /// repository's mode, an object by linking it. `false` when the file systems do not allow that.
    ///
    /// Whoever still has the file open or linked can change the object: only for what is consumed.
    pub(crate) fn adopt(
        &self,
        checksum: Checksum,
        dir: BorrowedFd<'_>,
        name: &Path,
        size: u64,
    ) -> Result<bool, WriteError> {
        let object = ObjectName::new(checksum, ObjectKind::File);
        self.counters
            .content_total
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if self.has_file(&object)? {
            return Ok(true);
        }
        let path = object.loose_path(self.repo.mode());
        let staging = self.staging.dir();
        let link = || rustix::fs::linkat(dir, name, staging, &path, AtFlags::empty());
        let linked = match link() {
            Err(Errno::NOENT) => {
                self.create_head(&path)?;
                link()
            }
            other => other,
        };
        match linked {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(true),
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM) => return Ok(false),
            Err(error) => return Err(error).during("adopt", name).map_err(Into::into),
        }
        rustix::fs::utimensat(staging, &path, &OBJECT_TIMES, AtFlags::SYMLINK_NOFOLLOW)
            .during("set the time of", &path)?;
        self.count_new_content(size);
        Ok(true)
    }
}
