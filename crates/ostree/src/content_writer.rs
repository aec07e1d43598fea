//! Writing a content object whose content comes in pieces.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::Ordering;

use durable::IoContext as _;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use ostree_format::{Checksum, FileHeader, Hasher, ObjectKind, ObjectName, RepoMode};
use rustix::fs::AtFlags;

use crate::{Transaction, WriteError};

impl Transaction<'_> {
    /// Write a regular file of `size` bytes as its content comes in; see [`ContentWriter`].
    ///
    /// # Errors
    /// [`WriteError`] when there is no room or the mode cannot hold the file; the transaction cannot
    /// be committed then.
    pub fn content_writer(
        &self,
        header: FileHeader,
        size: u64,
    ) -> Result<ContentWriter<'_>, WriteError> {
        let hasher = header.hasher();
        let writer = self.named_writer(header, size)?;
        Ok(ContentWriter { hasher, writer })
    }

    /// As [`Transaction::content_writer`], for a caller that computes the checksum itself; see [`NamedWriter`].
    ///
    /// # Errors
    /// As [`Transaction::content_writer`].
    pub fn named_writer(
        &self,
        header: FileHeader,
        size: u64,
    ) -> Result<NamedWriter<'_>, WriteError> {
        self.counters.content_total.fetch_add(1, Ordering::Relaxed);
        self.guarded(self.open_writer(header, size))
    }

    fn open_writer(&self, header: FileHeader, size: u64) -> Result<NamedWriter<'_>, WriteError> {
        self.check_mode(&header)?;
        self.space.take(size)?;
        let (file, temp) = self.create_unnamed(self.created_permissions(&header))?;
        let sink = if self.repo.mode() == RepoMode::Archive {
            durable::write_all(file.as_fd(), &header.archive_prefix(size))
                .during("write object", &temp)?;
            let level = Compression::new(self.repo.config().zlib_level);
            Sink::Deflate(DeflateEncoder::new(file, level))
        } else {
            Sink::Plain(file)
        };
        Ok(NamedWriter {
            txn: self,
            header,
            size,
            written: 0,
            temp,
            sink,
        })
    }
}

/// Writes one regular file whose content comes in pieces, and computes its checksum. Dropped without
/// [`ContentWriter::finish`], the file vanishes with the transaction.
#[derive(Debug)]
pub struct ContentWriter<'t> {
    hasher: Hasher,
    writer: NamedWriter<'t>,
}

impl Write for ContentWriter<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.write_all(buffer)?;
        Ok(buffer.len())
    }

    fn write_all(&mut self, buffer: &[u8]) -> io::Result<()> {
        self.hasher.update(buffer);
        let txn = self.writer.txn;
        self.writer.take_in(buffer).inspect_err(|_| txn.poison())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentWriter<'_> {
    /// Take in the next piece of the content.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_piece(&mut self, piece: &[u8]) -> Result<(), WriteError> {
        self.hasher.update(piece);
        self.writer.write_piece(piece)
    }

    /// End of content: give the file its metadata and its name.
    ///
    /// # Errors
    /// [`WriteError::SizeMismatch`] when the content was not as long as announced; otherwise what the
    /// system said. The transaction cannot be committed then.
    pub fn finish(self) -> Result<Checksum, WriteError> {
        let checksum = self.hasher.finish();
        self.writer.finish(checksum).map(|()| checksum)
    }

    /// As [`ContentWriter::finish`], for content that came from elsewhere under the name `expected`:
    /// what hashes to another name is removed, and the transaction may go on. Returns what it hashes
    /// to, which is `expected` when it was kept.
    ///
    /// # Errors
    /// As [`ContentWriter::finish`].
    pub fn finish_as(self, expected: &Checksum) -> Result<Checksum, WriteError> {
        let actual = self.hasher.finish();
        match actual == *expected {
            true => self.writer.finish(actual)?,
            false => self.writer.discard()?,
        }
        Ok(actual)
    }

    /// As [`ContentWriter::finish`], under a name that somebody vouches for, whatever the content is.
    ///
    /// # Errors
    /// As [`ContentWriter::finish`].
    pub(crate) fn finish_trusted(self, name: Checksum) -> Result<Checksum, WriteError> {
        self.writer.finish(name).map(|()| name)
    }
}

/// Writes one regular file whose content comes in pieces, for somebody who computes the checksum of its header and of
/// just these pieces meanwhile. Dropped without [`NamedWriter::finish`], the file vanishes with the transaction.
#[derive(Debug)]
pub struct NamedWriter<'t> {
    txn: &'t Transaction<'t>,
    header: FileHeader,
    size: u64,
    written: u64,
    temp: String,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Plain(std::fs::File),
    Deflate(DeflateEncoder<std::fs::File>),
}

impl NamedWriter<'_> {
    fn take_in(&mut self, buffer: &[u8]) -> io::Result<()> {
        self.written = self.written.saturating_add(buffer.len() as u64);
        if self.written > self.size {
            // Only so much was counted against the reserve, so not one byte more is stored.
            return Err(io::Error::other(format!(
                "content is longer than the {} bytes that were announced",
                self.size
            )));
        }
        match &mut self.sink {
            Sink::Plain(file) => file.write_all(buffer),
            Sink::Deflate(encoder) => encoder.write_all(buffer),
        }
    }

    /// Take in the next piece of the content.
    ///
    /// # Errors
    /// [`WriteError`]; the transaction cannot be committed then.
    pub fn write_piece(&mut self, piece: &[u8]) -> Result<(), WriteError> {
        let (expected, actual) = (self.size, self.written.saturating_add(piece.len() as u64));
        let txn = self.txn;
        txn.guarded(if actual > expected {
            Err(WriteError::SizeMismatch { expected, actual })
        } else {
            let written = self.take_in(piece);
            written
                .during("write object", &self.temp)
                .map_err(Into::into)
        })
    }

    /// End of content: give the file its metadata, and the name that it has by its checksum.
    ///
    /// # Errors
    /// As [`ContentWriter::finish`].
    pub fn finish(self, checksum: Checksum) -> Result<(), WriteError> {
        let txn = self.txn;
        txn.guarded(self.complete(checksum))
    }

    /// Remove what was written.
    fn discard(self) -> Result<(), durable::Error> {
        let staging = self.txn.staging.dir();
        rustix::fs::unlinkat(staging, &self.temp, AtFlags::empty()).during("remove", &self.temp)
    }

    fn complete(mut self, checksum: Checksum) -> Result<(), WriteError> {
        if self.written != self.size {
            return Err(WriteError::SizeMismatch {
                expected: self.size,
                actual: self.written,
            });
        }
        let txn = self.txn;
        if let Sink::Deflate(encoder) = &mut self.sink {
            encoder.try_finish().during("write object", &self.temp)?;
        }
        let name = ObjectName::new(checksum, ObjectKind::File);
        if txn.has_file(&name)? {
            return Ok(self.discard()?);
        }
        let path = name.loose_path(txn.repo.mode());
        let file = match &self.sink {
            Sink::Plain(file) => file,
            Sink::Deflate(encoder) => encoder.get_ref(),
        };
        txn.set_metadata(file.as_fd(), &path, &self.header)?;
        if txn.repo.mode() == RepoMode::BareSplitXattrs {
            txn.stage_split_xattrs(checksum, &self.header)?;
        }
        if txn.name_staged(&self.temp, &path)? {
            txn.count_new_content(self.size);
        }
        Ok(())
    }
}
