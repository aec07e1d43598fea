//! The checksum that something in a file system would have as an object.

use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use durable::IoContext as _;
use ostree_format::{Checksum, DirMeta, FileHeader, Xattrs, mode};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use crate::CommitDirError;
use crate::content::{descriptor_xattrs, link_xattrs_at};

/// The checksum of the content object of a file or link, or of the dirmeta of a directory, at `path` below
/// `base`; without extended attributes when they are not wanted.
///
/// # Errors
/// [`CommitDirError`].
pub fn checksum_path(
    base: BorrowedFd<'_>,
    path: &Path,
    with_xattrs: bool,
) -> Result<Checksum, CommitDirError> {
    let stat = rustix::fs::statat(base, path, AtFlags::SYMLINK_NOFOLLOW).during("look at", path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return link(base, path, &stat, with_xattrs);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(base, path, flags, Mode::empty()).during("open", path)?;
    let xattrs = if with_xattrs {
        descriptor_xattrs(file.as_fd(), path)?
    } else {
        Xattrs::new()
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Ok(DirMeta {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: mode::S_IFDIR | stat.st_mode & 0o7777,
            xattrs,
        }
        .checksum()),
        FileType::RegularFile => {
            let header = FileHeader::regular(stat.st_uid, stat.st_gid, stat.st_mode, xattrs);
            content(&header, file.into())
                .during("read", path)
                .map_err(Into::into)
        }
        _ => Err(CommitDirError::FileType { path: path.into() }),
    }
}

fn link(
    base: BorrowedFd<'_>,
    path: &Path,
    stat: &Stat,
    with_xattrs: bool,
) -> Result<Checksum, CommitDirError> {
    let target = rustix::fs::readlinkat(base, path, Vec::new()).during("read link", path)?;
    let target = target.into_string();
    let target = target.map_err(|_| CommitDirError::NotUtf8 { path: path.into() })?;
    let xattrs = if with_xattrs {
        link_xattrs_at(base, path)?
    } else {
        Xattrs::new()
    };
    Ok(FileHeader::symlink(stat.st_uid, stat.st_gid, target, xattrs).checksum(&[]))
}

fn content(header: &FileHeader, mut file: std::fs::File) -> std::io::Result<Checksum> {
    let mut hasher = header.hasher();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}
