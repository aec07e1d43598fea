//! One regular file or symbolic link.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;

use durable::IoContext as _;
use ostree_format::{Checksum, FileHeader, RepoMode};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use super::options::Ownership;
use super::{CommitDirError, Job, Shared};
use crate::content::{descriptor_xattrs, link_xattrs_at};
use crate::{ReadError, WriteError};

/// Files up to this size are read whole and hashed before anything is written.
const WHOLE: u64 = 1024 * 1024;

/// Larger files are read in pieces of this size.
const PIECE: usize = 256 * 1024;

impl Shared<'_, '_> {
    pub(super) fn file(&self, job: &Job, buffer: &mut Vec<u8>) -> Result<Checksum, CommitDirError> {
        let stat = rustix::fs::statat(&*job.dir, &job.name, AtFlags::SYMLINK_NOFOLLOW)
            .during("look at", &job.path)?;
        let linked = self.linked(&stat);
        if let (Some(object), true) = (linked, self.options.devino_canonical) {
            return Ok(self.hit(object));
        }
        let found = match linked {
            // What a checkout by link shows of a bare-user object is not what the object says.
            Some(object) if self.txn.repo.mode() == RepoMode::BareUser => {
                let header = self.txn.repo.load_file_header(&object);
                header.map_err(|source| linked_error(object, source))?
            }
            _ => self.found(job, &stat)?,
        };
        let header = self.header(job, &found)?;
        if let Some(object) = linked
            && header == found
        {
            return Ok(self.hit(object));
        }
        if self.options.checksums_only {
            return Ok(self.hashed(job, &header, buffer)?.0);
        }
        if header.is_symlink() {
            return self.written(job, self.txn.write_file(&header, &[]));
        }
        if self.options.consume
            && self.may_adopt(&found, &header)
            && let Some(checksum) = self.adopted(job, &header, buffer)?
        {
            return Ok(checksum);
        }
        self.content(job, header, buffer)
    }

    /// Whether the file stands as its object would.
    fn may_adopt(&self, found: &FileHeader, header: &FileHeader) -> bool {
        match self.txn.repo.mode() {
            RepoMode::Bare => found == header,
            RepoMode::BareUserOnly => found.mode == header.mode,
            _ => false,
        }
    }

    fn adopted(
        &self,
        job: &Job,
        header: &FileHeader,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Checksum>, CommitDirError> {
        let (checksum, size) = self.hashed(job, header, buffer)?;
        let adopted = self.txn.adopt(checksum, job.dir.as_fd(), &job.name, size);
        let adopted = adopted.map_err(|source| CommitDirError::Write {
            path: job.path.clone(),
            source: Box::new(source),
        })?;
        Ok(adopted.then_some(checksum))
    }

    /// The checksum of a file with this header, and its size.
    fn hashed(
        &self,
        job: &Job,
        header: &FileHeader,
        buffer: &mut Vec<u8>,
    ) -> Result<(Checksum, u64), CommitDirError> {
        let hasher = header.hasher();
        if header.is_symlink() {
            return Ok((hasher.finish(), 0));
        }
        let (mut hasher, mut size) = (hasher, 0);
        let mut file = self.open(job)?;
        buffer.resize(PIECE, 0);
        loop {
            self.interrupt.check()?;
            match file.read(buffer).during("read", &job.path)? {
                0 => return Ok((hasher.finish(), size)),
                count => {
                    size += count as u64;
                    hasher.update(&buffer[..count]);
                }
            }
        }
    }

    /// The object that the file is a link of, if it is one.
    fn linked(&self, stat: &Stat) -> Option<Checksum> {
        self.options.devino?.get(stat.st_dev, stat.st_ino)
    }

    fn hit(&self, object: Checksum) -> Checksum {
        *self.lock(&self.hits) += 1;
        object
    }

    /// The header that the file has as it is, with all its attributes.
    fn found(&self, job: &Job, stat: &Stat) -> Result<FileHeader, CommitDirError> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&*job.dir, &job.name, Vec::new())
                    .during("read link", &job.path)?;
                let target = target.into_string().map_err(|_| CommitDirError::NotUtf8 {
                    path: job.path.clone(),
                })?;
                let xattrs = link_xattrs_at(job.dir.as_fd(), &job.name)?;
                Ok(FileHeader::symlink(
                    stat.st_uid,
                    stat.st_gid,
                    target,
                    xattrs,
                ))
            }
            FileType::RegularFile => {
                let file = self.open(job)?;
                let xattrs = descriptor_xattrs(file.as_fd(), &job.path)?;
                Ok(FileHeader::regular(
                    stat.st_uid,
                    stat.st_gid,
                    stat.st_mode,
                    xattrs,
                ))
            }
            _ => Err(CommitDirError::FileType {
                path: job.path.clone(),
            }),
        }
    }

    /// The header that is stored.
    fn header(&self, job: &Job, found: &FileHeader) -> Result<FileHeader, CommitDirError> {
        let stored = self.stored(
            &job.path,
            Ownership {
                uid: found.uid,
                gid: found.gid,
                mode: found.mode,
            },
        );
        let xattrs = self.xattrs(&job.path, stored.mode, || Ok(found.xattrs.clone()))?;
        Ok(stored.header(xattrs, found.symlink.clone()))
    }

    fn open(&self, job: &Job) -> Result<File, durable::Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&*job.dir, &job.name, flags, Mode::empty())
            .during("open", &job.path)
            .map(File::from)
    }

    fn content(
        &self,
        job: &Job,
        header: FileHeader,
        buffer: &mut Vec<u8>,
    ) -> Result<Checksum, CommitDirError> {
        let mut file = self.open(job)?;
        let size = file.metadata().during("look at", &job.path)?.len();
        buffer.clear();
        if size <= WHOLE {
            // One byte more than there should be tells whether the file grew.
            (&mut file)
                .take(size + 1)
                .read_to_end(buffer)
                .during("read", &job.path)?;
            let actual = buffer.len() as u64;
            let same = check_size(size, actual);
            return self.written(
                job,
                same.and_then(|()| self.txn.write_file(&header, buffer)),
            );
        }
        let mut writer = match self.txn.content_writer(header, size) {
            Ok(writer) => writer,
            Err(error) => return self.written(job, Err(error)),
        };
        buffer.resize(PIECE, 0);
        loop {
            self.interrupt.check()?;
            let count = file.read(buffer).during("read", &job.path)?;
            if count == 0 {
                return self.written(job, writer.finish());
            }
            if let Err(error) = writer.write_piece(&buffer[..count]) {
                return self.written(job, Err(error));
            }
        }
    }

    fn written(
        &self,
        job: &Job,
        result: Result<Checksum, WriteError>,
    ) -> Result<Checksum, CommitDirError> {
        result.map_err(|source| CommitDirError::Write {
            path: job.path.clone(),
            source: Box::new(source),
        })
    }
}

fn check_size(expected: u64, actual: u64) -> Result<(), WriteError> {
    if expected == actual {
        return Ok(());
    }
    Err(WriteError::SizeMismatch { expected, actual })
}

fn linked_error(object: Checksum, source: ReadError) -> CommitDirError {
    CommitDirError::Linked {
        object,
        source: Box::new(source),
    }
}
