//! Writing to split-xattrs repositories: a file carries owner and mode, its attributes are an object
//! of their own (`.file-xattrs`, named by its content), and a link with the file's name
//! (`.file-xattrs-link`) leads to it.
//!
//! This is the layout inside encapsulated images. Libostree reads it but refuses to write it, so
//! that a transaction writes it only when it was asked to.

use durable::IoContext as _;
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::{Transaction, WriteError};

impl Transaction<'_> {
    /// Stage the attributes of the content object `file`, and the link to them.
    pub(crate) fn stage_split_xattrs(
        &self,
        file: Checksum,
        header: &FileHeader,
    ) -> Result<(), WriteError> {
        let bytes = header.xattrs.to_bytes();
        let xattrs = ObjectName::new(Checksum::of(&bytes), ObjectKind::FileXattrs);
        self.write_metadata(ObjectKind::FileXattrs, &bytes)?;
        let link = ObjectName::new(file, ObjectKind::FileXattrsLink);
        let link = link.loose_path(self.repo.mode());
        let source = xattrs.loose_path(self.repo.mode());
        self.create_head(&link)?;
        match self.link_from_anywhere(&source, &link) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            // Most files share one object, but an inode has only so many names.
            Err(Errno::MLINK) => self.stage_plain(&link, &bytes),
            Err(error) => Err(error).during("link object", &link).map_err(Into::into),
        }
    }

    /// Link to an object that was staged just now, or that was there before.
    fn link_from_anywhere(&self, source: &str, link: &str) -> rustix::io::Result<()> {
        let staging = self.staging.dir();
        let flags = AtFlags::empty();
        match rustix::fs::linkat(staging, source, staging, link, flags) {
            Err(Errno::NOENT) => {
                rustix::fs::linkat(self.repo.objects(), source, staging, link, flags)
            }
            other => other,
        }
    }
}
