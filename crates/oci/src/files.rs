//! Named files in a directory or in an archive: what the layouts are made of.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use durable::IoContext;
use error_class::{Classified, ErrorClass};
use rustix::fs::{Mode, OFlags};

/// A file opened for reading.
pub(crate) struct OpenFile {
    /// The size of the whole file, in bytes.
    pub(crate) size: u64,
    /// Its content from the offset that was asked for.
    pub(crate) reader: Box<dyn Read + Send>,
}

/// A flat view of the files of an image.
pub(crate) trait Files: fmt::Debug + Send + Sync {
    /// Opens a file at an offset; none when there is no such file.
    fn open(&self, path: &str, offset: u64) -> Result<Option<OpenFile>, FileError>;

    /// The whole content of a file; none when there is no such file.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
        let Some(file) = self.open(path, 0)? else {
            return Ok(None);
        };
        let too_large = || FileError::TooLarge {
            path: path.to_owned(),
            limit,
        };
        if file.size > limit {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        let mut reader = file.reader.take(limit.saturating_add(1));
        reader.read_to_end(&mut bytes).during("read", path)?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(Some(bytes))
    }
}

/// The files below a directory.
#[derive(Debug)]
pub(crate) struct DirFiles {
    dir: OwnedFd,
    /// The directory as the user calls it, for messages.
    path: PathBuf,
}

impl DirFiles {
    /// Opens the directory `path`, relative to `base`.
    pub(crate) fn open(base: BorrowedFd<'_>, path: &str) -> Result<Self, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(base, path, flags, Mode::empty());
        let dir = dir.during("open directory", path)?;
        let path = path.into();
        Ok(Self { dir, path })
    }
}

impl Files for DirFiles {
    fn open(&self, path: &str, offset: u64) -> Result<Option<OpenFile>, FileError> {
        let shown = self.path.join(path);
        let Some((mut file, size)) = open_regular(self.dir.as_fd(), path, &shown)? else {
            return Ok(None);
        };
        file.seek(SeekFrom::Start(offset))
            .during("seek in", shown)?;
        let reader = Box::new(file);
        Ok(Some(OpenFile { size, reader }))
    }
}

/// Opens a regular file, and nothing that opening or reading could block on. `shown` is what it is
/// called in messages.
pub(crate) fn open_regular(
    base: BorrowedFd<'_>,
    path: &str,
    shown: &Path,
) -> Result<Option<(File, u64)>, FileError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(base, path, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        other => File::from(other.during("open", shown)?),
    };
    let metadata = file.metadata().during("inspect", shown)?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular(shown.to_owned()));
    }
    Ok(Some((file, metadata.len())))
}

/// A file of an image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
    /// There is something else in place of a file: a directory, a pipe.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// A file that is read as a whole is larger than anything sensible.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// The file, relative to the image.
        path: String,
        /// What is accepted, in bytes.
        limit: u64,
    },
    /// The archive is compressed, so nothing in it can be found without unpacking all of it.
    #[error("{} is a compressed archive: decompress it first", .0.display())]
    Compressed(PathBuf),
    /// The archive is not a well-formed tar file.
    #[error("archive {} is damaged at byte {offset}: {cause}", .path.display())]
    Tar {
        /// The archive.
        path: PathBuf,
        /// Where, in bytes from its start.
        offset: u64,
        /// What is wrong there.
        cause: Box<tar_core::parse::ParseError>,
    },
    /// The archive has more entries than an image can have.
    #[error("archive {} has more than {limit} entries", .path.display())]
    TooManyEntries {
        /// The archive.
        path: PathBuf,
        /// What is accepted.
        limit: usize,
    },
}

impl Classified for FileError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Io(error) => error.class(),
            Self::NotRegular(_) | Self::TooManyEntries { .. } => ErrorClass::InvalidInput,
            Self::TooLarge { .. } | Self::Tar { .. } => ErrorClass::Corrupt,
            Self::Compressed(_) => ErrorClass::Unsupported,
        }
    }
}
