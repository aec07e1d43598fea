//! Writing content objects, in every repository mode that is written.

use std::io::{self, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use durable::IoContext as _;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName, RepoMode, Xattrs, mode};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::content::{OSTREEMETA, proc_path};
use crate::{Transaction, WriteError};

/// Bits that a file in a bare-user-only repository may have: no set-id, no sticky, not writable by all.
const BARE_USER_ONLY_BITS: u32 = mode::S_IFREG | 0o775;

/// The modification time of every content object, so that checkouts are reproducible.
pub(crate) const OBJECT_TIMES: Timestamps = Timestamps {
    last_access: Timespec {
        tv_sec: 0,
        tv_nsec: rustix::fs::UTIME_OMIT,
    },
    last_modification: Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    },
};

impl Transaction<'_> {
    /// Write a regular file whose whole content is at hand, or a symbolic link (then `content` is
    /// empty), unless it is stored.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_file(&self, header: &FileHeader, content: &[u8]) -> Result<Checksum, WriteError> {
        let checksum = header.checksum(content);
        self.write_named_file(checksum, header, content)?;
        Ok(checksum)
    }

    /// As [`Transaction::write_file`], for a caller that has computed the checksum of just this header
    /// and content already. Returns whether the object is new.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_named_file(
        &self,
        checksum: Checksum,
        header: &FileHeader,
        content: &[u8],
    ) -> Result<bool, WriteError> {
        self.counters.content_total.fetch_add(1, Ordering::Relaxed);
        self.guarded(self.add_file(checksum, header, content))
    }

    fn add_file(
        &self,
        checksum: Checksum,
        header: &FileHeader,
        content: &[u8],
    ) -> Result<bool, WriteError> {
        let name = ObjectName::new(checksum, ObjectKind::File);
        if self.has_file(&name)? {
            return Ok(false);
        }
        self.space.take(content.len() as u64)?;
        let path = name.loose_path(self.repo.mode());
        let new = self.stage_file(&path, header, content)?;
        if self.repo.mode() == RepoMode::BareSplitXattrs {
            self.stage_split_xattrs(checksum, header)?;
        }
        if new {
            self.count_new_content(content.len() as u64);
        }
        Ok(new)
    }

    /// Whether a content object is stored with everything that belongs to it, or comes from the repository
    /// that this one builds on.
    ///
    /// # Errors
    /// What the system said.
    pub fn provides_file(&self, name: &ObjectName) -> Result<bool, durable::Error> {
        match self.repo.parent() {
            _ if self.has_file(name)? => Ok(true),
            Some(parent) => parent.provides(name),
            None => Ok(false),
        }
    }

    /// Whether a content object is stored with everything that belongs to it.
    ///
    /// # Errors
    /// What the system said.
    pub fn has_file(&self, name: &ObjectName) -> Result<bool, durable::Error> {
        let link = ObjectName::new(name.checksum, ObjectKind::FileXattrsLink);
        Ok(self.has_object(name)?
            && (self.repo.mode() != RepoMode::BareSplitXattrs || self.repo.has_object(&link)?))
    }

    pub(crate) fn count_new_content(&self, bytes: u64) {
        self.counters
            .content_written
            .fetch_add(1, Ordering::Relaxed);
        self.counters
            .content_bytes
            .fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the object is new to this transaction.
    fn stage_file(
        &self,
        path: &str,
        header: &FileHeader,
        content: &[u8],
    ) -> Result<bool, WriteError> {
        self.check_mode(header)?;
        if header.is_symlink()
            && !matches!(self.repo.mode(), RepoMode::BareUser | RepoMode::Archive)
        {
            return self.stage_symlink(path, header);
        }
        let created = self.created_permissions(header);
        let Some(file) = self.create_staged(path, OFlags::EXCL, created)? else {
            return Ok(false);
        };
        let target;
        let content = match &header.symlink {
            // Bare-user stores the target as content, with a terminator so that it can be mapped.
            Some(link) if self.repo.mode() == RepoMode::BareUser => {
                target = [link.as_bytes(), b"\0"].concat();
                &target
            }
            _ => content,
        };
        if self.repo.mode() == RepoMode::Archive {
            let packed = self.archived(header, content).during("deflate", path)?;
            durable::write_all(file.as_fd(), &packed).during("write object", path)?;
        } else {
            durable::write_all(file.as_fd(), content).during("write object", path)?;
        }
        self.set_metadata(file.as_fd(), path, header)?;
        Ok(true)
    }

    /// The whole `.filez`.
    fn archived(&self, header: &FileHeader, content: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = header.archive_prefix(content.len() as u64);
        if header.is_symlink() {
            return Ok(out);
        }
        let level = Compression::new(self.repo.config().zlib_level);
        let mut encoder = DeflateEncoder::new(&mut out, level);
        encoder.write_all(content)?;
        encoder.finish()?;
        Ok(out)
    }

    pub(crate) fn check_mode(&self, header: &FileHeader) -> Result<(), WriteError> {
        match self.repo.mode() {
            RepoMode::BareSplitXattrs if !self.options.write_split_xattrs => {
                Err(WriteError::UnsupportedMode(self.repo.mode()))
            }
            RepoMode::BareUserOnly => self.check_user_only(header),
            _ => Ok(()),
        }
    }

    /// What this mode cannot keep would be lost, and the object would not hash to its name.
    fn check_user_only(&self, header: &FileHeader) -> Result<(), WriteError> {
        if !header.is_symlink() && header.mode & !BARE_USER_ONLY_BITS != 0 {
            return Err(WriteError::ModeForbidden {
                mode: self.repo.mode(),
                file_mode: header.mode,
            });
        }
        if (header.uid, header.gid) != (0, 0) || !header.xattrs.is_empty() {
            return Err(WriteError::OwnerForbidden {
                mode: self.repo.mode(),
                uid: header.uid,
                gid: header.gid,
                xattrs: header.xattrs.len(),
            });
        }
        Ok(())
    }

    fn stage_symlink(&self, path: &str, header: &FileHeader) -> Result<bool, WriteError> {
        let target = header.symlink.as_deref().unwrap_or_default();
        let staging = self.staging.dir();
        let created = match rustix::fs::symlinkat(target, staging, path) {
            Err(Errno::NOENT) => {
                self.create_head(path)?;
                rustix::fs::symlinkat(target, staging, path)
            }
            other => other,
        };
        match created {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(error) => return Err(error).during("create link", path).map_err(Into::into),
        }
        match self.repo.mode() {
            RepoMode::Bare => {
                self.set_link_owner(path, header)?;
                self.set_link_xattrs(path, header)?;
            }
            RepoMode::BareSplitXattrs => self.set_link_owner(path, header)?,
            _ => {}
        }
        Ok(true)
    }

    fn set_link_owner(&self, path: &str, header: &FileHeader) -> Result<(), durable::Error> {
        if !owned_by_us(header) {
            let (uid, gid) = owner(header);
            rustix::fs::chownat(
                self.staging.dir(),
                path,
                uid,
                gid,
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .during("change the owner of", path)?;
        }
        Ok(())
    }

    fn set_link_xattrs(&self, path: &str, header: &FileHeader) -> Result<(), durable::Error> {
        let link = proc_path(self.staging.dir(), Path::new(path));
        for (name, value) in header.xattrs.iter() {
            rustix::fs::lsetxattr(&link, name, value, XattrFlags::empty())
                .during(durable::setting_attribute(name), path)?;
        }
        Ok(())
    }

    /// Give a staged file what its header says, in the form of the repository's mode. Comes after
    /// the content is known to be good, so that no half-written file is ever set-uid.
    pub(crate) fn set_metadata(
        &self,
        file: BorrowedFd<'_>,
        path: &str,
        header: &FileHeader,
    ) -> Result<(), WriteError> {
        match self.repo.mode() {
            RepoMode::Bare => {
                set_owner(file, path, header)?;
                set_xattrs(file, path, &header.xattrs)?;
            }
            RepoMode::BareSplitXattrs => set_owner(file, path, header)?,
            RepoMode::BareUser => {
                let meta = header.to_ostreemeta();
                rustix::fs::fsetxattr(file, OSTREEMETA, &meta, XattrFlags::empty())
                    .during("set user.ostreemeta of", path)?;
            }
            RepoMode::BareUserOnly | RepoMode::Archive => {}
        }
        let created = self.created_permissions(header);
        self.set_permissions(file, path, created, self.stored_permissions(header))?;
        if self.repo.mode() != RepoMode::Archive {
            rustix::fs::futimens(file, &OBJECT_TIMES).during("set the time of", path)?;
        }
        Ok(())
    }

    /// The permissions of the file that stands for `header` in a repository of this mode.
    const fn stored_permissions(&self, header: &FileHeader) -> u32 {
        match self.repo.mode() {
            RepoMode::BareUser if header.is_symlink() => 0o644,
            RepoMode::BareUser => header.mode & 0o775 | 0o400,
            RepoMode::Bare | RepoMode::BareUserOnly | RepoMode::BareSplitXattrs => {
                header.mode & 0o7777
            }
            RepoMode::Archive => 0o644,
        }
    }

    /// The permissions it is created with: never set-uid before the content is there, and writable where
    /// an attribute has to be set on it.
    pub(crate) const fn created_permissions(&self, header: &FileHeader) -> u32 {
        match self.repo.mode() {
            RepoMode::BareUser => 0o600,
            _ => self.stored_permissions(header) & 0o777,
        }
    }

    /// A staged file that has no name of an object yet, and its name until then.
    pub(crate) fn create_unnamed(
        &self,
        permissions: u32,
    ) -> Result<(std::fs::File, String), durable::Error> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let temp = format!("tmp-{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(permissions);
        let file = rustix::fs::openat(self.staging.dir(), &temp, flags, mode)
            .during("create object", &temp)?;
        Ok((std::fs::File::from(file), temp))
    }

    /// Give a staged file the name of the object that it is, unless that is staged already; whether it
    /// is new.
    pub(crate) fn name_staged(&self, temp: &str, path: &str) -> Result<bool, durable::Error> {
        let staging = self.staging.dir();
        self.create_head(path)?;
        match rustix::fs::renameat_with(staging, temp, staging, path, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => {
                let removed = rustix::fs::unlinkat(staging, temp, AtFlags::empty());
                removed.during("remove", temp).map(|()| false)
            }
            Err(error) => Err(error).during("stage object", path),
        }
    }
}

fn owner(header: &FileHeader) -> (Option<rustix::fs::Uid>, Option<rustix::fs::Gid>) {
    (
        Some(rustix::fs::Uid::from_raw(header.uid)),
        Some(rustix::fs::Gid::from_raw(header.gid)),
    )
}

/// Whether a file we create has the right owner already, which saves a call for most files.
fn owned_by_us(header: &FileHeader) -> bool {
    header.uid == rustix::process::geteuid().as_raw()
        && header.gid == rustix::process::getegid().as_raw()
}

fn set_owner(file: BorrowedFd<'_>, path: &str, header: &FileHeader) -> Result<(), durable::Error> {
    if owned_by_us(header) {
        return Ok(());
    }
    let (uid, gid) = owner(header);
    rustix::fs::fchown(file, uid, gid).during("change the owner of", path)
}

fn set_xattrs(file: BorrowedFd<'_>, path: &str, xattrs: &Xattrs) -> Result<(), durable::Error> {
    for (name, value) in xattrs.iter() {
        rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
            .during(durable::setting_attribute(name), path)?;
    }
    Ok(())
}
