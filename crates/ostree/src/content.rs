//! Reading content objects: regular files and symbolic links, in every repository mode.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use durable::IoContext as _;
use flate2::bufread::DeflateDecoder;
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName, RepoMode, Xattrs, limits, mode};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::{ReadError, Repo};

/// The attribute in which bare-user repositories keep owner, mode and attributes.
pub(crate) const OSTREEMETA: &str = "user.ostreemeta";

/// Where SELinux keeps its label.
pub(crate) const SELINUX: &[u8] = b"security.selinux";

/// Largest list of attribute names, and largest value: the kernel's `XATTR_LIST_MAX`.
const MAX_XATTR: usize = 65_536;

/// A content object, open for reading.
#[derive(Debug)]
pub struct FileObject {
    /// Owner, mode, attributes and link target.
    pub header: FileHeader,
    /// Bytes of content; 0 for a symbolic link.
    pub size: u64,
    /// The content; empty for a symbolic link.
    pub content: ContentReader,
}

/// The content of an object, as a stream.
#[derive(Debug)]
pub struct ContentReader(Inner);

#[derive(Debug)]
enum Inner {
    Empty,
    Plain(File),
    Deflated(Box<DeflateDecoder<BufReader<File>>>),
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Empty => Ok(0),
            Inner::Plain(file) => file.read(buffer),
            Inner::Deflated(stream) => stream.read(buffer),
        }
    }
}

impl ContentReader {
    /// The file itself, when the content is stored as it is.
    #[must_use]
    pub fn as_plain(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Inner::Plain(file) => Some(file.as_fd()),
            Inner::Empty | Inner::Deflated(_) => None,
        }
    }
}

impl Repo {
    /// Open a content object.
    ///
    /// The content is not checked against the checksum; [`Repo::fsck`] and whoever re-hashes do that.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn open_file(&self, checksum: &Checksum) -> Result<FileObject, ReadError> {
        match (self.open_file_in(self.objects(), checksum), self.parent()) {
            (Err(ReadError::Missing(missing)), Some(parent)) if missing.checksum == *checksum => {
                parent.open_file(checksum)
            }
            (opened, _) => opened,
        }
    }

    /// The same in a directory of objects other than the repository's own.
    pub(crate) fn open_file_in(
        &self,
        objects: BorrowedFd<'_>,
        checksum: &Checksum,
    ) -> Result<FileObject, ReadError> {
        let name = ObjectName::new(*checksum, ObjectKind::File);
        let path = name.loose_path(self.mode());
        match self.mode() {
            RepoMode::Archive => open_archived(objects, name, &path),
            RepoMode::BareUser => open_bare_user(objects, name, &path),
            RepoMode::Bare | RepoMode::BareUserOnly | RepoMode::BareSplitXattrs => {
                self.open_bare(objects, name, &path)
            }
        }
    }

    /// What a content object says besides its bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn load_file_header(&self, checksum: &Checksum) -> Result<FileHeader, ReadError> {
        Ok(self.open_file(checksum)?.header)
    }

    fn open_bare(
        &self,
        objects: BorrowedFd<'_>,
        name: ObjectName,
        path: &str,
    ) -> Result<FileObject, ReadError> {
        let stat = match rustix::fs::statat(objects, path, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Err(ReadError::Missing(name)),
            other => other.during("look at object", path)?,
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let file = open_object(objects, name, path)?;
                let xattrs =
                    self.bare_xattrs(&name, || descriptor_xattrs(file.as_fd(), Path::new(path)))?;
                let header = self.bare_header(&stat, xattrs, None);
                Ok(plain(header, file, &stat))
            }
            FileType::Symlink => {
                let target =
                    rustix::fs::readlinkat(objects, path, Vec::new()).during("read link", path)?;
                let target = target
                    .into_string()
                    .map_err(|_| bad(name, "its target is not UTF-8"))?;
                let xattrs =
                    self.bare_xattrs(&name, || link_xattrs_at(objects, Path::new(path)))?;
                let header = self.bare_header(&stat, xattrs, Some(target));
                Ok(linked(header))
            }
            _ => Err(bad(name, "neither a regular file nor a symbolic link")),
        }
    }

    /// The attributes that count in this mode.
    fn bare_xattrs(
        &self,
        name: &ObjectName,
        read: impl FnOnce() -> Result<Xattrs, durable::Error>,
    ) -> Result<Xattrs, ReadError> {
        match self.mode() {
            RepoMode::BareUserOnly => Ok(Xattrs::new()),
            RepoMode::BareSplitXattrs => self.split_xattrs(name),
            _ if self.config().disable_xattrs => Ok(Xattrs::new()),
            _ => Ok(read()?),
        }
    }

    /// The attributes of a file in a split-xattrs repository: an object that the link object names.
    fn split_xattrs(&self, name: &ObjectName) -> Result<Xattrs, ReadError> {
        let link = ObjectName::new(name.checksum, ObjectKind::FileXattrsLink);
        let Some(bytes) = self.load_bytes(&link)? else {
            return Err(ReadError::Missing(link));
        };
        Xattrs::from_bytes(&bytes).map_err(|source| ReadError::Damaged { name: link, source })
    }

    fn bare_header(&self, stat: &Stat, xattrs: Xattrs, symlink: Option<String>) -> FileHeader {
        let (uid, gid) = match self.mode() {
            RepoMode::BareUserOnly => (0, 0),
            _ => (stat.st_uid, stat.st_gid),
        };
        FileHeader {
            uid,
            gid,
            mode: stat.st_mode,
            xattrs,
            symlink,
        }
    }
}

fn open_object(objects: BorrowedFd<'_>, name: ObjectName, path: &str) -> Result<File, ReadError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(objects, path, flags, Mode::empty()) {
        Ok(file) => Ok(File::from(file)),
        Err(Errno::NOENT) => Err(ReadError::Missing(name)),
        Err(Errno::LOOP) => Err(bad(name, "a symbolic link where a file is expected")),
        Err(error) => Err(error).during("open object", path).map_err(Into::into),
    }
}

fn open_bare_user(
    objects: BorrowedFd<'_>,
    name: ObjectName,
    path: &str,
) -> Result<FileObject, ReadError> {
    let mut file = open_object(objects, name, path)?;
    let stat = rustix::fs::fstat(&file).during("look at object", path)?;
    let mut value = vec![0; MAX_XATTR];
    let length = match rustix::fs::fgetxattr(&file, OSTREEMETA, &mut value[..]) {
        Err(Errno::NODATA) => return Err(bad(name, "it has no user.ostreemeta attribute")),
        other => other.during("read user.ostreemeta of", path)?,
    };
    value.truncate(length);
    let damaged = |source| ReadError::Damaged { name, source };
    // The mode says whether the content is a link's target, so it is read first, as a file.
    let is_link = value.get(8..12).is_some_and(|m| {
        m.try_into()
            .is_ok_and(|m| mode::is_symlink(u32::from_be_bytes(m)))
    });
    if !is_link {
        let header = FileHeader::from_ostreemeta(&value, None).map_err(damaged)?;
        return Ok(plain(header, file, &stat));
    }
    let mut target = String::new();
    (&mut file)
        .take(limits::MAX_SYMLINK_TARGET as u64 + 2)
        .read_to_string(&mut target)
        .map_err(|error| unreadable(name, path, error))?;
    let target = target.trim_end_matches('\0').to_owned();
    let header = FileHeader::from_ostreemeta(&value, Some(target)).map_err(damaged)?;
    Ok(linked(header))
}

fn open_archived(
    objects: BorrowedFd<'_>,
    name: ObjectName,
    path: &str,
) -> Result<FileObject, ReadError> {
    let mut file = BufReader::new(open_object(objects, name, path)?);
    let mut frame = [0u8; 8];
    file.read_exact(&mut frame)
        .map_err(|error| unreadable(name, path, error))?;
    let [a, b, c, d, ..] = frame;
    let length = u64::from(u32::from_be_bytes([a, b, c, d]));
    if length > limits::MAX_METADATA_SIZE {
        return Err(bad(name, "its header is too long"));
    }
    let mut header = Vec::new();
    (&mut file)
        .take(length)
        .read_to_end(&mut header)
        .map_err(|error| unreadable(name, path, error))?;
    let (header, size) = FileHeader::from_archive_header(&header)
        .map_err(|source| ReadError::Damaged { name, source })?;
    let (size, content) = if header.is_symlink() {
        (0, Inner::Empty)
    } else {
        (size, Inner::Deflated(Box::new(DeflateDecoder::new(file))))
    };
    Ok(FileObject {
        header,
        size,
        content: ContentReader(content),
    })
}

/// The content of a link is its target, which the header has.
pub(crate) fn linked(header: FileHeader) -> FileObject {
    FileObject {
        header,
        size: 0,
        content: ContentReader(Inner::Empty),
    }
}

pub(crate) fn plain(header: FileHeader, file: File, stat: &Stat) -> FileObject {
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    FileObject {
        header,
        size,
        content: ContentReader(Inner::Plain(file)),
    }
}

fn bad(name: ObjectName, reason: &'static str) -> ReadError {
    ReadError::BadContent { name, reason }
}

/// What is wrong with the object itself is told apart from what is wrong with the disk.
fn unreadable(name: ObjectName, path: &str, source: io::Error) -> ReadError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => bad(name, "it ends within its header"),
        io::ErrorKind::IsADirectory => bad(name, "a directory where a file is expected"),
        io::ErrorKind::InvalidData => bad(name, "its target is not UTF-8"),
        _ => ReadError::Io(durable::Error {
            verb: "read object",
            path: path.into(),
            source,
        }),
    }
}

/// The path of `path` below `dir` as the kernel resolves it for calls that take no descriptor.
pub(crate) fn proc_path(dir: BorrowedFd<'_>, path: &Path) -> PathBuf {
    if dir.as_raw_fd() == rustix::fs::CWD.as_raw_fd() {
        return path.to_owned();
    }
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(path)
}

/// Attributes of the symbolic link at `path` below `dir`. There is no call for a link relative to a directory,
/// so its path goes through the descriptor's entry in `/proc`, as in libostree.
pub(crate) fn link_xattrs_at(dir: BorrowedFd<'_>, path: &Path) -> Result<Xattrs, durable::Error> {
    let path = proc_path(dir, path);
    read_xattrs(
        &path,
        |buffer| rustix::fs::llistxattr(&path, buffer),
        |name, buffer| rustix::fs::lgetxattr(&path, name, buffer),
    )
}

/// Attributes of an open file or directory, which messages call `path`.
pub(crate) fn descriptor_xattrs(
    file: BorrowedFd<'_>,
    path: &Path,
) -> Result<Xattrs, durable::Error> {
    read_xattrs(
        path,
        |buffer| rustix::fs::flistxattr(file, buffer),
        |name, buffer| rustix::fs::fgetxattr(file, name, buffer),
    )
}

/// All attributes, through the two calls that fit the kind of file.
fn read_xattrs(
    path: &Path,
    list: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CString, &mut [u8]) -> rustix::io::Result<usize>,
) -> Result<Xattrs, durable::Error> {
    let mut names = [0u8; 4096];
    let length = match list(&mut names) {
        Err(Errno::NOTSUP) => 0,
        other => other.during("list attributes of", path)?,
    };
    let mut xattrs = Xattrs::new();
    let mut value = Vec::new();
    for name in names[..length]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty())
    {
        value.resize(MAX_XATTR, 0);
        let Ok(c_name) = CString::new(name) else {
            continue;
        };
        let length = get(&c_name, &mut value).during("read attributes of", path)?;
        xattrs.insert(name, &value[..length]);
    }
    Ok(xattrs)
}
