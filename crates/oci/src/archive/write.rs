//! Writing an image layout into a tar archive.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use durable::IoContext;
use oci_spec::image::Descriptor;
use rustix::fs::{AtFlags, Mode, OFlags};
use tar_core::builder::HeaderBuilder;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::layout::{MARKER_CONTENT, blob_path, index_with};
use crate::sink::{BlobSink, ImageSink, WriteError, Written};

const BLOCK: u64 = 512;

/// Writes one image into an archive file, beside the place where it is to be; finishing puts it
/// there. Modification times are 0 and there are no owners, so the same blobs written in the same
/// order give the same archive.
#[derive(Debug)]
pub struct OciArchiveWriter {
    base: OwnedFd,
    path: String,
    /// The file being written; absent once it has its name.
    temporary: Option<String>,
    file: File,
    /// Where the next entry begins.
    position: u64,
    blobs: Vec<Digest>,
}

impl OciArchiveWriter {
    /// Begins the archive `path`, relative to `base`. What is there now stays until the end.
    ///
    /// # Errors
    /// No file can be made in that directory.
    pub fn create(base: BorrowedFd<'_>, path: &str) -> Result<Self, WriteError> {
        let temporary = temporary_beside(path);
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::openat(base, &temporary, flags, mode);
        let file = file.during("create", &temporary)?;
        let base = base.try_clone_to_owned().during("open again", ".")?;
        Ok(Self {
            base,
            path: path.to_owned(),
            temporary: Some(temporary),
            file: File::from(file),
            position: 0,
            blobs: Vec::new(),
        })
    }

    /// Whether the archive has this blob already.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blobs.contains(digest)
    }

    /// Begins a blob. An archive is written from front to back, so there is one at a time.
    #[must_use]
    pub fn blob(&mut self) -> ArchiveBlob<'_> {
        ArchiveBlob {
            archive: self,
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
        }
    }

    /// Writes a small blob.
    ///
    /// # Errors
    /// The file system fails.
    pub fn write_blob(&mut self, bytes: &[u8]) -> Result<Written, WriteError> {
        let path = self.path.clone();
        let mut blob = self.blob();
        blob.write_all(bytes).during("write", path)?;
        blob.finish()
    }

    /// Ends the archive with the image that this manifest (or index) describes and puts it in its
    /// place, durably.
    ///
    /// # Errors
    /// The file system fails; the old file is untouched then.
    pub fn finish(mut self, manifest: &Descriptor, tag: Option<&str>) -> Result<(), WriteError> {
        let index = index_with(None, manifest, tag)?;
        self.small_entry("oci-layout", MARKER_CONTENT)?;
        self.small_entry("index.json", index.as_bytes())?;
        let end = self.position + 2 * BLOCK;
        self.file.set_len(end).during("extend", &self.path)?;
        durable::sync_filesystem(self.file.as_fd())?;
        if let Some(temporary) = &self.temporary {
            rustix::fs::renameat(&self.base, temporary, &self.base, &self.path)
                .during("rename over", &self.path)?;
        }
        self.temporary = None;
        Ok(())
    }

    fn small_entry(&mut self, name: &str, content: &[u8]) -> Result<(), WriteError> {
        self.file
            .write_all_at(content, self.position + BLOCK)
            .during("write", &self.path)?;
        self.end_entry(name, content.len() as u64)
    }

    /// Writes the header of an entry whose content is there already.
    fn end_entry(&mut self, name: &str, size: u64) -> Result<(), WriteError> {
        let header = header(name, size).during("write", &self.path)?;
        self.file
            .write_all_at(&header, self.position)
            .during("write", &self.path)?;
        let content_end = self.position + BLOCK + size;
        self.position = content_end.next_multiple_of(BLOCK);
        // A blob that was dropped may have left bytes behind; the padding must be zero.
        self.file
            .set_len(content_end)
            .and_then(|()| self.file.set_len(self.position))
            .during("resize", &self.path)?;
        Ok(())
    }
}

/// A header in GNU form, which has room for more than 8 GiB.
fn header(name: &str, size: u64) -> io::Result<[u8; BLOCK as usize]> {
    let mut builder = HeaderBuilder::new_gnu();
    let filled = builder
        .path(name)
        .and_then(|builder| builder.mode(0o644))
        .and_then(|builder| builder.uid(0))
        .and_then(|builder| builder.gid(0))
        .and_then(|builder| builder.mtime(0))
        .and_then(|builder| builder.size(size));
    filled.map_err(io::Error::other)?;
    Ok(*builder.finish().as_bytes())
}

fn temporary_beside(path: &str) -> String {
    let path = Path::new(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let process = rustix::process::getpid().as_raw_nonzero();
    let temporary = path.with_file_name(format!(".{name}.{process}.tmp"));
    temporary.to_string_lossy().into_owned()
}

impl Drop for OciArchiveWriter {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Whatever prevents this was reported by what failed before, or nothing did.
            let _unremoved = rustix::fs::unlinkat(&self.base, temporary, AtFlags::empty());
        }
    }
}

impl ImageSink for OciArchiveWriter {
    fn has_blob(&self, digest: &Digest) -> Result<bool, WriteError> {
        Ok(OciArchiveWriter::has_blob(self, digest))
    }

    fn blob(&mut self) -> Result<Box<dyn BlobSink + '_>, WriteError> {
        Ok(Box::new(OciArchiveWriter::blob(self)))
    }

    fn finish(self: Box<Self>, manifest: &Descriptor, tag: Option<&str>) -> Result<(), WriteError> {
        OciArchiveWriter::finish(*self, manifest, tag)
    }
}

/// A blob being written into an archive. Dropped before [`ArchiveBlob::finish`], its place is used
/// again.
#[derive(Debug)]
pub struct ArchiveBlob<'a> {
    archive: &'a mut OciArchiveWriter,
    hasher: Hasher,
    size: u64,
}

impl ArchiveBlob<'_> {
    /// Ends the blob and gives it its name. A blob that the archive has already is kept instead.
    ///
    /// # Errors
    /// The file system fails; the archive can only be dropped then.
    pub fn finish(self) -> Result<Written, WriteError> {
        let digest = self.hasher.finish();
        let size = self.size;
        if !self.archive.has_blob(&digest) {
            self.archive.end_entry(&blob_path(&digest), size)?;
            self.archive.blobs.push(digest.clone());
        }
        Ok(Written { digest, size })
    }
}

impl Write for ArchiveBlob<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let offset = self.archive.position + BLOCK + self.size;
        let n = self.archive.file.write_at(buf, offset)?;
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobSink for ArchiveBlob<'_> {
    fn finish(self: Box<Self>) -> Result<Written, WriteError> {
        ArchiveBlob::finish(*self)
    }
}
