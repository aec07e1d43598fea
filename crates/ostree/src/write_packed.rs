//! Storing content objects of an archive as they are: packed already, and named by somebody else.

use std::fs::File;
use std::io::{self, Write as _};

use durable::IoContext as _;
use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode};
use rustix::fs::{AtFlags, Mode};

use crate::{Transaction, WriteError};

/// Writes the bytes of one `.filez`. Dropped without [`PackedWriter::finish`], the file is gone with
/// the transaction.
#[derive(Debug)]
pub struct PackedWriter<'t> {
    txn: &'t Transaction<'t>,
    file: File,
    temp: String,
}

impl Transaction<'_> {
    /// Store a content object in its packed form, in a repository of mode archive.
    ///
    /// # Errors
    /// [`WriteError::UnsupportedMode`] in other modes; otherwise what the system said.
    pub fn packed_writer(&self) -> Result<PackedWriter<'_>, WriteError> {
        if self.repo.mode() != RepoMode::Archive {
            return Err(WriteError::UnsupportedMode(self.repo.mode()));
        }
        let (file, temp) = self.create_unnamed(0o644)?;
        Ok(PackedWriter {
            txn: self,
            file,
            temp,
        })
    }
}

impl PackedWriter<'_> {
    /// Take in the next piece.
    ///
    /// # Errors
    /// [`WriteError::NoSpace`], or what the system said.
    pub fn write_piece(&mut self, piece: &[u8]) -> Result<(), WriteError> {
        self.txn.space.take(piece.len() as u64)?;
        let written = self.file.write_all(piece);
        written.during("write object", &self.temp)?;
        Ok(())
    }

    /// End of the object: give it its name. That the bytes are those of `checksum`, whose content has
    /// `size` bytes when unpacked, is the caller's word.
    ///
    /// # Errors
    /// What the system said.
    pub fn finish(self, checksum: Checksum, size: u64) -> Result<(), WriteError> {
        let name = ObjectName::new(checksum, ObjectKind::File);
        let path = name.loose_path(RepoMode::Archive);
        let open_to_all = rustix::fs::fchmod(&self.file, Mode::from_raw_mode(0o644));
        open_to_all.during("set the mode of", &path)?;
        if self.txn.name_staged(&self.temp, &path)? {
            self.txn.count_new_content(size);
        }
        Ok(())
    }

    /// The object is not what it was said to be: forget it.
    ///
    /// # Errors
    /// What the system said.
    pub fn discard(self) -> io::Result<()> {
        let removed = rustix::fs::unlinkat(self.txn.staging.dir(), &self.temp, AtFlags::empty());
        removed.map_err(Into::into)
    }
}
