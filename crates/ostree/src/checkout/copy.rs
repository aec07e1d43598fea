//! Copies of content objects, with everything that the object says.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use durable::IoContext as _;
use ostree_format::{RepoMode, Xattrs, mode};
use rustix::fs::{Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::walk::{Making, Walk};
use super::{CheckoutError, Existing};
use crate::FileObject;
use crate::content::{SELINUX, proc_path};

/// Read this much at once.
const CHUNK: usize = 128 * 1024;

impl Walk<'_> {
    pub(super) fn copy(
        &self,
        dir: &Making,
        name: &str,
        object: FileObject,
    ) -> Result<(), CheckoutError> {
        if object.header.is_symlink() {
            self.copy_link(dir, name, &object)
        } else {
            self.copy_file(dir, name, object)
        }
    }

    fn copy_link(
        &self,
        dir: &Making,
        name: &str,
        object: &FileObject,
    ) -> Result<(), CheckoutError> {
        let target = object.header.symlink.as_deref().unwrap_or_default();
        let make = || rustix::fs::symlinkat(target, &dir.fd, name);
        let mut made = make();
        if made == Err(Errno::EXIST) && self.options.existing == Existing::Union {
            self.remove_existing(dir, name)?;
            made = make();
        }
        made.during("create link", dir.path.join(name))?;
        if !self.user_mode {
            self.chown_at(dir, name, object)?;
            self.set_link_xattrs(dir, name, object)?;
        }
        Ok(())
    }

    fn copy_file(
        &self,
        dir: &Making,
        name: &str,
        mut object: FileObject,
    ) -> Result<(), CheckoutError> {
        let path = dir.path.join(name);
        let file = self.create(dir, name)?;
        write_content(&mut object, file.as_fd()).during("write", &path)?;
        let header = &object.header;
        let mut permissions = header.mode & 0o7777;
        if self.user_mode {
            permissions = (permissions & 0o1777) | 0o400;
        } else {
            // The owner goes first: changing it drops setuid bits and capabilities.
            let owner = (Uid::from_raw(header.uid), Gid::from_raw(header.gid));
            rustix::fs::fchown(&file, Some(owner.0), Some(owner.1))
                .during("set the owner of", &path)?;
            self.set_xattrs(file.as_fd(), &path, header.mode, &header.xattrs)?;
        }
        rustix::fs::fchmod(&file, Mode::from_raw_mode(permissions))
            .during("set the mode of", &path)?;
        Ok(())
    }

    fn create(&self, dir: &Making, name: &str) -> Result<OwnedFd, durable::Error> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let open = || rustix::fs::openat(&dir.fd, name, flags, Mode::from_raw_mode(0o600));
        let mut opened = open();
        if matches!(opened, Err(Errno::EXIST)) && self.options.existing == Existing::Union {
            self.remove_existing(dir, name)?;
            opened = open();
        }
        opened.during("create", dir.path.join(name))
    }

    /// Set the attributes of a file or directory that stands at `path` in the checkout.
    pub(super) fn set_xattrs(
        &self,
        file: BorrowedFd<'_>,
        path: &Path,
        mode: u32,
        xattrs: &Xattrs,
    ) -> Result<(), durable::Error> {
        for (name, value) in self.relabelled(path, mode, xattrs).iter() {
            rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
                .during(durable::setting_attribute(name), path)?;
        }
        Ok(())
    }

    /// As [`Self::set_xattrs`] for what cannot be opened: symbolic links and devices.
    pub(super) fn set_link_xattrs(
        &self,
        dir: &Making,
        name: &str,
        object: &FileObject,
    ) -> Result<(), durable::Error> {
        let path = dir.path.join(name);
        let place = proc_path(dir.fd.as_fd(), Path::new(name));
        let link_mode = if object.header.is_symlink() {
            mode::S_IFLNK | 0o777
        } else {
            object.header.mode
        };
        for (name, value) in self
            .relabelled(&path, link_mode, &object.header.xattrs)
            .iter()
        {
            rustix::fs::lsetxattr(&place, name, value, XattrFlags::empty())
                .during(durable::setting_attribute(name), &path)?;
        }
        Ok(())
    }

    /// The attributes with the label of the place where the copy will stand.
    fn relabelled(&self, path: &Path, mode: u32, xattrs: &Xattrs) -> Xattrs {
        if self.repo.config().disable_xattrs || self.repo.mode() == RepoMode::BareUserOnly {
            return Xattrs::new();
        }
        let mut xattrs = xattrs.clone();
        if let Some(relabel) = self.options.relabel {
            let mut place = relabel.prefix.trim_end_matches('/').as_bytes().to_vec();
            if !path.as_os_str().is_empty() {
                place.push(b'/');
                place.extend_from_slice(path.as_os_str().as_bytes());
            }
            let label = (relabel.label)(&place, mode);
            xattrs.insert(SELINUX, &label.unwrap_or_default());
        }
        xattrs
    }
}

/// Content that is stored as it is goes from file to file without passing through us, and shares its
/// blocks where the file system can do that.
fn write_content(object: &mut FileObject, file: BorrowedFd<'_>) -> std::io::Result<()> {
    if let Some(source) = object.content.as_plain()
        && copy_range(source, file, object.size)?
    {
        return Ok(());
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = std::io::Read::read(&mut object.content, &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        durable::write_all(file, buffer.get(..count).unwrap_or_default())?;
    }
}

/// Whether the kernel could copy all of it. When it refuses at the first byte, nothing has been moved.
fn copy_range(source: BorrowedFd<'_>, file: BorrowedFd<'_>, size: u64) -> std::io::Result<bool> {
    let mut left = size;
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, None, file, None, step) {
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => left = left.saturating_sub(count as u64),
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if left == size => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
