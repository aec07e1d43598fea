//! Bringing single objects over: by link, or through their parsed form.

use std::io::Read as _;

use durable::IoContext as _;
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName, RepoMode, Xattrs, mode};
use progress::{Share, Task};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::PullError;
use super::local::Pull;
use crate::{FileObject, ReadError, Repo, Transaction, WriteError};

/// Bits that a file in a bare-user-only repository may have.
const USER_ONLY_BITS: u32 = mode::S_IFREG | 0o775;

/// Content is read in pieces of this size; smaller files whole.
const PIECE: usize = 128 * 1024;

impl Pull<'_> {
    /// Bring a metadata object, unless it is here.
    pub(super) fn metadata(&mut self, name: ObjectName) -> Result<(), PullError> {
        if self.txn.repo.provides(&name)? {
            return Ok(());
        }
        self.stats.metadata += 1;
        if !self.options.untrusted && self.txn.link_metadata(&name, self.source)? {
            return Ok(());
        }
        let bytes = self.source.load_bytes(&name)?;
        let bytes = bytes.ok_or(ReadError::Missing(name))?;
        let actual = self.txn.write_metadata(name.kind, &bytes)?;
        if actual != name.checksum {
            self.txn.poison();
            return Err(PullError::Damaged { name, actual });
        }
        Ok(())
    }

    /// Bring content objects, by several threads.
    pub(super) fn import_files(
        &mut self,
        files: &[Checksum],
        task: &Task<'_>,
    ) -> Result<(), PullError> {
        let importer = Importer::new(self.txn, self.source)
            .untrusted(self.options.untrusted)
            .user_only_files(self.options.user_only_files);
        let share = Share {
            threads: self.options.threads,
            batch: 32,
        };
        let done = task.share_out(
            files,
            share,
            self.interrupt,
            || (vec![0; PIECE], 0, 0),
            |(buffer, count, bytes), batch| -> Result<(), PullError> {
                for file in batch {
                    self.interrupt.check()?;
                    if let Some(written) = importer.file(file, buffer)? {
                        *count += 1;
                        *bytes += written;
                    }
                }
                Ok(())
            },
        );
        for (_, count, bytes) in done.inspect_err(|_| self.txn.poison())? {
            self.stats.content += count;
            self.stats.content_bytes += bytes;
        }
        Ok(())
    }
}

/// Brings single objects of another repository on this machine into a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Importer<'a> {
    txn: &'a Transaction<'a>,
    source: &'a Repo,
    untrusted: bool,
    user_only_files: bool,
}

impl<'a> Importer<'a> {
    /// From `source`, linking where that is possible.
    #[must_use]
    pub const fn new(txn: &'a Transaction<'a>, source: &'a Repo) -> Self {
        Self {
            txn,
            source,
            untrusted: false,
            user_only_files: false,
        }
    }

    /// Whether every object is read and hashed, also those that could be linked.
    #[must_use]
    pub const fn untrusted(mut self, untrusted: bool) -> Self {
        self.untrusted = untrusted;
        self
    }

    /// Whether files are refused that have a mode that bare-user-only repositories cannot hold.
    #[must_use]
    pub const fn user_only_files(mut self, only: bool) -> Self {
        self.user_only_files = only;
        self
    }

    /// The repository that objects come from.
    #[must_use]
    pub const fn source(&self) -> &'a Repo {
        self.source
    }

    /// Bring a content object, using `buffer` for its content. Bytes that were written for it; `None`
    /// when it was here.
    ///
    /// # Errors
    /// [`PullError`]; the transaction cannot be committed after an object that is damaged.
    pub fn file(&self, checksum: &Checksum, buffer: &mut [u8]) -> Result<Option<u64>, PullError> {
        let name = ObjectName::new(*checksum, ObjectKind::File);
        if self.txn.provides_file(&name)? {
            return Ok(None);
        }
        if self.user_only_files {
            let mode = self.source.load_file_header(checksum)?.mode;
            if mode::is_regular(mode) && mode & !USER_ONLY_BITS != 0 {
                let checksum = *checksum;
                return Err(PullError::Mode { checksum, mode });
            }
        }
        if self.may_link(&name)? {
            if self.untrusted {
                self.verify(&name, buffer)?;
            }
            if self.link(&name)? {
                return Ok(Some(0));
            }
        }
        let object = self.source.open_file(checksum)?;
        let size = object.size;
        let actual = self.copy(&name, object, buffer)?;
        if actual != *checksum {
            self.txn.poison();
            return Err(PullError::Damaged { name, actual });
        }
        Ok(Some(size))
    }

    /// Whether an object of the source is the very file that this repository would have.
    fn may_link(&self, name: &ObjectName) -> Result<bool, PullError> {
        match (self.source.mode(), self.txn.repo.mode()) {
            (RepoMode::BareSplitXattrs, _) => Ok(false),
            (RepoMode::BareUser, RepoMode::BareUserOnly) => self.shows_its_header(name),
            (from, to) => Ok(from == to),
        }
    }

    /// Whether the file of a bare-user object says all that its header does: then a bare-user-only repository
    /// can have it, which does not look at attributes.
    fn shows_its_header(&self, name: &ObjectName) -> Result<bool, PullError> {
        let header = self.source.load_file_header(&name.checksum)?;
        let canonical = FileHeader::regular(0, 0, header.mode & USER_ONLY_BITS, Xattrs::new());
        if header != canonical {
            return Ok(false);
        }
        let path = name.loose_path(self.source.mode());
        match rustix::fs::statat(self.source.objects(), &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(stat.st_mode == header.mode),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).during("look at", &path).map_err(Into::into),
        }
    }

    /// What is linked without trust is read first; a link to it is the very file that was read.
    fn verify(&self, name: &ObjectName, buffer: &mut [u8]) -> Result<(), PullError> {
        let verified = self.source.verify_object(name, buffer);
        verified.inspect_err(|_| self.txn.poison())?;
        Ok(())
    }

    /// Whether it could be linked.
    fn link(&self, name: &ObjectName) -> Result<bool, PullError> {
        let linked = self.txn.stage_link(name, self.source);
        linked.map_err(|source| import_error(*name, source))
    }

    fn copy(
        &self,
        name: &ObjectName,
        object: FileObject,
        buffer: &mut [u8],
    ) -> Result<Checksum, PullError> {
        let copied = copy_content(self.txn, name, object, buffer, !self.untrusted);
        copied?.map_err(|source| import_error(*name, source))
    }
}

fn import_error(name: ObjectName, source: WriteError) -> PullError {
    if let WriteError::ModeForbidden { file_mode, .. } = source {
        return PullError::Mode {
            checksum: name.checksum,
            mode: file_mode,
        };
    }
    let source = Box::new(source);
    PullError::Import { name, source }
}

/// Outer errors are those of the source. What is `trusted` gets its name without being hashed.
fn copy_content(
    txn: &Transaction<'_>,
    name: &ObjectName,
    mut object: FileObject,
    buffer: &mut [u8],
    trusted: bool,
) -> Result<Result<Checksum, WriteError>, ReadError> {
    let broken = |_| ReadError::BadContent {
        name: *name,
        reason: "its content cannot be read to the end",
    };
    if object.header.is_symlink() || object.size < buffer.len() as u64 {
        let mut content = Vec::new();
        // Another length than was announced is found out by the checksum, if anything is to be.
        let mut read = (&mut object.content).take(buffer.len() as u64);
        read.read_to_end(&mut content).map_err(broken)?;
        return Ok(if trusted {
            let written = txn.write_named_file(name.checksum, &object.header, &content);
            written.map(|_| name.checksum)
        } else {
            txn.write_file(&object.header, &content)
        });
    }
    let mut writer = match txn.content_writer(object.header, object.size) {
        Ok(writer) => writer,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let count = object.content.read(buffer).map_err(broken)?;
        if count == 0 {
            return Ok(if trusted {
                writer.finish_trusted(name.checksum)
            } else {
                writer.finish()
            });
        }
        if let Err(error) = writer.write_piece(&buffer[..count]) {
            return Ok(Err(error));
        }
    }
}

impl Transaction<'_> {
    /// Stage a metadata object of another repository as a hard link. `false` when the file systems do not
    /// allow that.
    fn link_metadata(&self, name: &ObjectName, source: &crate::Repo) -> Result<bool, WriteError> {
        let linked = self.link_object(name, source)?;
        if linked == Some(true) {
            self.count_new_metadata();
        }
        Ok(linked.is_some())
    }

    /// Stage a content object of another repository of the same mode as a hard link. `false` when
    /// the file systems do not allow that.
    fn stage_link(&self, name: &ObjectName, source: &crate::Repo) -> Result<bool, WriteError> {
        let linked = self.link_object(name, source)?;
        if linked == Some(true) {
            self.count_new_content(0);
        }
        Ok(linked.is_some())
    }

    /// Whether the link is new to this transaction; `None` when the file systems do not allow it.
    fn link_object(
        &self,
        name: &ObjectName,
        source: &crate::Repo,
    ) -> Result<Option<bool>, WriteError> {
        let path = name.loose_path(self.repo.mode());
        let link = || {
            let (from, to) = (source.objects(), self.staging.dir());
            rustix::fs::linkat(from, &path, to, &path, AtFlags::empty())
        };
        let linked = match link() {
            Err(Errno::NOENT) => {
                self.create_head(&path)?;
                link()
            }
            other => other,
        };
        match linked {
            Ok(()) => Ok(Some(true)),
            Err(Errno::EXIST) => Ok(Some(false)),
            // The other repository may have the object only by its parent.
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM | Errno::NOENT) => Ok(None),
            Err(error) => Err(error).during("link object", &path).map_err(Into::into),
        }
    }
}
