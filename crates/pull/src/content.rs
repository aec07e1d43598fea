//! Content objects: fetched packed, checked against their name, and stored in the repository's own form.

use std::io::{self, BufReader, Read};
use std::sync::atomic::Ordering;

use flate2::bufread::DeflateDecoder;
use ostree::{PackedWriter, WriteError};
use ostree_format::{Checksum, FileHeader, ObjectKind, ObjectName, RepoMode, limits, mode};

use crate::Error;
use crate::fetcher::Attempt;
use crate::http::{Body, Line, Problem};
use crate::pulling::Pull;
use crate::report::count;

/// Bits that a file in a bare-user-only repository may have.
const USER_ONLY_BITS: u32 = mode::S_IFREG | 0o775;

/// Content below this size is checked in memory, and then written.
const IN_MEMORY: u64 = 256 * 1024;

/// Content of any other size goes through in pieces of this size.
const PIECE: usize = 128 * 1024;

impl Pull<'_> {
    /// Bring a content object, unless it is here.
    pub(crate) fn file(&self, line: &Line, checksum: Checksum) -> Result<(), Error> {
        let name = ObjectName::new(checksum, ObjectKind::File);
        if self.txn.provides_file(&name)? {
            return Ok(());
        }
        let local = self.source.into_iter().chain(self.options.local_caches);
        for repo in local {
            if self.source.is_none() && !repo.has_object(&name)? {
                continue;
            }
            let mut buffer = vec![0; PIECE];
            let written = self.importer(repo).file(&checksum, &mut buffer)?;
            if let Some(written) = written {
                self.content_written.fetch_add(written, Ordering::Relaxed);
            }
            count(&self.counters.imported_content);
            return Ok(());
        }
        // The name in an archive, whatever the mode of this repository.
        let path = format!("objects/{}", name.loose_path(RepoMode::Archive));
        let take = |body: Body<'_>| self.take_packed(name, body);
        self.fetcher
            .streamed(line, &self.places.content, &path, take)?;
        count(&self.counters.fetched_content);
        Ok(())
    }

    fn take_packed(&self, name: ObjectName, body: Body<'_>) -> Result<(), Attempt> {
        let mut body = BufReader::with_capacity(64 * 1024, body);
        if self.stores_unchecked() {
            return self.store_unchecked(name, &mut body);
        }
        let (header, size) = read_header(name, &mut body)?;
        self.check_mode(&name.checksum, header.mode)?;
        if self.txn.repo().mode() == RepoMode::Archive && !header.is_symlink() {
            return self.keep_packed(name, &header, size, body);
        }
        let mut content = Unpacking::new(name, DeflateDecoder::new(body));
        if header.is_symlink() || size < IN_MEMORY {
            return self.write_small(name, &header, size, &mut content);
        }
        self.write_large(name, header, size, &mut content)
    }

    fn stores_unchecked(&self) -> bool {
        self.options.http_trusted
            && self.options.mirror
            && !self.options.user_only_files
            && self.txn.repo().mode() == RepoMode::Archive
    }

    fn store_unchecked(&self, name: ObjectName, body: &mut impl Read) -> Result<(), Attempt> {
        let mut writer = self.txn.packed_writer()?;
        let mut piece = vec![0; PIECE];
        loop {
            let count = body.read(&mut piece).map_err(|error| broken(name, error))?;
            if count == 0 {
                return Ok(writer.finish(name.checksum, 0)?);
            }
            writer.write_piece(&piece[..count])?;
        }
    }

    fn check_mode(&self, checksum: &Checksum, mode: u32) -> Result<(), Error> {
        let bits = mode & !USER_ONLY_BITS;
        if !self.options.user_only_files || !mode::is_regular(mode) || bits == 0 {
            return Ok(());
        }
        let checksum = *checksum;
        Err(Error::FileMode {
            checksum,
            mode,
            bits,
        })
    }

    fn write_small(
        &self,
        name: ObjectName,
        header: &FileHeader,
        size: u64,
        content: &mut impl Unpacked,
    ) -> Result<(), Attempt> {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        if !header.is_symlink() {
            content.fill(&mut bytes, size)?;
        }
        let actual = header.checksum(&bytes);
        if actual != name.checksum {
            return Err(Error::Corrupted { name, actual }.into());
        }
        if self.txn.write_named_file(name.checksum, header, &bytes)? {
            self.content_written.fetch_add(size, Ordering::Relaxed);
        }
        Ok(())
    }

    fn write_large(
        &self,
        name: ObjectName,
        header: FileHeader,
        size: u64,
        content: &mut impl Unpacked,
    ) -> Result<(), Attempt> {
        let mut writer = self.txn.content_writer(header, size)?;
        let mut left = size;
        let mut piece = vec![0; PIECE];
        loop {
            let count = content.piece(&mut piece)?;
            if count == 0 && left == 0 {
                break;
            }
            left = left_after(name, left, count)?;
            writer.write_piece(&piece[..count])?;
        }
        let actual = writer.finish_as(&name.checksum)?;
        if actual != name.checksum {
            return Err(Error::Corrupted { name, actual }.into());
        }
        self.content_written.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }

    /// Into an archive: the packed bytes as they are, once it is known what is in them. Packing again would
    /// cost far more than all the rest.
    fn keep_packed(
        &self,
        name: ObjectName,
        header: &FileHeader,
        size: u64,
        body: BufReader<Body<'_>>,
    ) -> Result<(), Attempt> {
        let mut writer = self.txn.packed_writer()?;
        writer.write_piece(&header.archive_prefix(size))?;
        let copying = Copying {
            inner: body,
            writer,
            failure: None,
        };
        let mut content = Unpacking::new(name, DeflateDecoder::new(BufReader::new(copying)));
        let mut hasher = header.hasher();
        let mut left = size;
        let mut piece = vec![0; PIECE];
        loop {
            let read = content.piece(&mut piece);
            if let Some(failure) = content.stream.get_mut().get_mut().failure.take() {
                return Err(failure.into());
            }
            let count = read?;
            if count == 0 && left == 0 {
                break;
            }
            left = left_after(name, left, count)?;
            hasher.update(&piece[..count]);
        }
        let rest = !content.stream.get_ref().buffer().is_empty();
        let mut copying = content.stream.into_inner().into_inner();
        let behind = copying
            .inner
            .read(&mut piece)
            .map_err(|error| broken(name, error))?;
        if rest || behind > 0 {
            let reason = "something stands behind the packed content".to_owned();
            return Err(Error::BadContent { name, reason }.into());
        }
        let actual = hasher.finish();
        if actual != name.checksum {
            // It is gone with the transaction in any case.
            let _left = copying.writer.discard();
            return Err(Error::Corrupted { name, actual }.into());
        }
        copying.writer.finish(name.checksum, size)?;
        self.content_written.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }
}

/// The bytes that are still to come after `count` more have.
fn left_after(name: ObjectName, left: u64, count: usize) -> Result<u64, Error> {
    let reason = |text: &str| Error::BadContent {
        name,
        reason: text.to_owned(),
    };
    if count == 0 {
        return Err(reason("its content is shorter than its header says"));
    }
    let left = left.checked_sub(count as u64);
    left.ok_or_else(|| reason("its content is longer than its header says"))
}

/// Reads a packed object's header; see [`FileHeader::from_archive_header`].
fn read_header(name: ObjectName, body: &mut impl Read) -> Result<(FileHeader, u64), Attempt> {
    let mut frame = [0u8; 8];
    body.read_exact(&mut frame)
        .map_err(|error| broken(name, error))?;
    let [a, b, c, d, ..] = frame;
    let length = u32::from_be_bytes([a, b, c, d]);
    if u64::from(length) > limits::MAX_METADATA_SIZE {
        let reason = format!("its header has {length} bytes");
        return Err(Error::BadContent { name, reason }.into());
    }
    let mut header = Vec::new();
    let read = body.take(u64::from(length)).read_to_end(&mut header);
    read.map_err(|error| broken(name, error))?;
    let parsed = FileHeader::from_archive_header(&header);
    parsed.map_err(|source| Error::Malformed { name, source }.into())
}

/// What a failed read of an object means: the network's fault, or the object's.
fn broken(name: ObjectName, error: io::Error) -> Attempt {
    match Problem::within(error) {
        Ok(problem) => problem.into(),
        Err(error) => {
            let reason = error.to_string();
            Error::BadContent { name, reason }.into()
        }
    }
}

/// The content of an object as it is unpacked.
trait Unpacked {
    /// Fill `buffer` as far as there is content; how far that is.
    fn piece(&mut self, buffer: &mut [u8]) -> Result<usize, Attempt>;

    /// All content, which must have `size` bytes.
    fn fill(&mut self, bytes: &mut Vec<u8>, size: u64) -> Result<(), Attempt>;
}

struct Unpacking<R> {
    name: ObjectName,
    stream: R,
}

impl<R: Read> Unpacking<R> {
    const fn new(name: ObjectName, stream: R) -> Self {
        Self { name, stream }
    }
}

impl<R: Read> Unpacked for Unpacking<R> {
    fn piece(&mut self, buffer: &mut [u8]) -> Result<usize, Attempt> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.stream.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => return Err(broken(self.name, error)),
            }
        }
        Ok(filled)
    }

    fn fill(&mut self, bytes: &mut Vec<u8>, size: u64) -> Result<(), Attempt> {
        let read = (&mut self.stream).take(size + 1).read_to_end(bytes);
        read.map_err(|error| broken(self.name, error))?;
        if bytes.len() as u64 != size {
            let reason = format!("its content has {} bytes or more, not {size}", bytes.len());
            return Err(Error::BadContent {
                name: self.name,
                reason,
            }
            .into());
        }
        Ok(())
    }
}

/// Keeps what is read through it.
struct Copying<'t, R> {
    inner: R,
    writer: PackedWriter<'t>,
    failure: Option<WriteError>,
}

impl<R: Read> Read for Copying<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if let Err(error) = self.writer.write_piece(&buffer[..count]) {
            self.failure = Some(error);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(count)
    }
}
