//! Writing an OCI image layout directory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use durable::IoContext;
use oci_spec::image::{Descriptor, ImageIndex};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{INDEX, MARKER, REF_NAME, blob_path};
use crate::digest::{Algorithm, Digest, Hasher};
use crate::sink::{BlobSink, ImageSink, WriteError, Written};
use crate::{canonical, limits};

/// What the marker file of a layout says (image-layout.md, "oci-layout file").
pub(crate) const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const BLOBS: &str = "blobs/sha256";

/// Writes images into a layout directory, new or existing. What is in it stays.
///
/// Blobs may be written by several threads at once. Nothing is synced before
/// [`OciDirWriter::publish`], which makes an image visible: at any moment `index.json` lists only
/// complete images.
#[derive(Debug)]
pub struct OciDirWriter {
    dir: OwnedFd,
}

impl OciDirWriter {
    /// Opens the layout at `path`, relative to `base`, or makes a new one there. The parent
    /// directory must exist.
    ///
    /// # Errors
    /// The directory cannot be made or written to.
    pub fn create(base: BorrowedFd<'_>, path: &str) -> Result<Self, WriteError> {
        match rustix::fs::mkdirat(base, path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => Err(error).during("create directory", path)?,
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(base, path, flags, Mode::empty());
        let dir = dir.during("open directory", path)?;
        durable::create_dir_all(dir.as_fd(), Path::new(BLOBS), 0o755)?;
        let marker = Path::new(MARKER);
        if !exists(dir.as_fd(), MARKER)? {
            durable::publish_no_sync(dir.as_fd(), marker, MARKER_CONTENT, 0o644)?;
        }
        Ok(Self { dir })
    }

    /// Whether the layout has this blob.
    ///
    /// # Errors
    /// The directory cannot be looked at.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, WriteError> {
        exists(self.dir.as_fd(), &blob_path(digest))
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// No file can be made.
    pub fn blob(&self) -> Result<BlobWriter, WriteError> {
        let temporary = temporary_name();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::openat(&self.dir, &temporary, flags, mode);
        let file = file.during("create", &temporary)?;
        let dir = self.dir.try_clone().during("open again", ".")?;
        Ok(BlobWriter {
            dir,
            file: File::from(file),
            temporary: Some(temporary),
            hasher: Hasher::new(Algorithm::Sha256),
            size: 0,
        })
    }

    /// Writes a small blob.
    ///
    /// # Errors
    /// As [`OciDirWriter::blob`] and [`BlobWriter::finish`].
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Written, WriteError> {
        let mut blob = self.blob()?;
        blob.write_all(bytes).during("write", BLOBS)?;
        blob.finish()
    }

    /// Makes the image that this manifest (or index) describes visible: all blobs are on disk when
    /// `index.json` is replaced. An image that had the tag before is no longer listed.
    ///
    /// # Errors
    /// The old `index.json` is malformed, or the file system fails; it is unchanged then.
    pub fn publish(&self, manifest: &Descriptor, tag: Option<&str>) -> Result<(), WriteError> {
        let old = durable::read_optional(self.dir.as_fd(), Path::new(INDEX), limits::MANIFEST)?;
        let index = index_with(old.as_deref(), manifest, tag)?;
        durable::sync_filesystem(self.dir.as_fd())?;
        durable::publish(self.dir.as_fd(), Path::new(INDEX), index.as_bytes(), 0o644)?;
        Ok(())
    }
}

impl ImageSink for OciDirWriter {
    fn has_blob(&self, digest: &Digest) -> Result<bool, WriteError> {
        OciDirWriter::has_blob(self, digest)
    }

    fn blob(&mut self) -> Result<Box<dyn BlobSink + '_>, WriteError> {
        Ok(Box::new(OciDirWriter::blob(self)?))
    }

    fn finish(self: Box<Self>, manifest: &Descriptor, tag: Option<&str>) -> Result<(), WriteError> {
        self.publish(manifest, tag)
    }
}

fn exists(dir: BorrowedFd<'_>, path: &str) -> Result<bool, WriteError> {
    match rustix::fs::statat(dir, path, AtFlags::empty()) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Ok(Err(error).during("inspect", path)?),
    }
}

/// A name in the layout that no other blob being written has.
fn temporary_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let process = rustix::process::getpid().as_raw_nonzero();
    format!("{BLOBS}/.{process}-{count}.tmp")
}

/// The new content of `index.json`: the old entries without the tag, and the new one.
pub(crate) fn index_with(
    old: Option<&[u8]>,
    manifest: &Descriptor,
    tag: Option<&str>,
) -> Result<String, WriteError> {
    let mut index = match old {
        Some(bytes) => serde_json::from_slice(bytes).map_err(WriteError::Index)?,
        None => ImageIndex::default(),
    };
    let entry = tagged(manifest, tag);
    let name = |entry: &Descriptor| entry.annotations().as_ref()?.get(REF_NAME).cloned();
    let replaced = |other: &Descriptor| {
        let same_name = name(other) == name(&entry);
        same_name && (tag.is_some() || other.digest() == entry.digest())
    };
    let mut entries = index.manifests().clone();
    entries.retain(|other| !replaced(other));
    entries.push(entry);
    index.set_manifests(entries);
    canonical::to_string(&index).map_err(|cause| WriteError::Encode { what: INDEX, cause })
}

fn tagged(manifest: &Descriptor, tag: Option<&str>) -> Descriptor {
    let mut entry = manifest.clone();
    let mut annotations = entry.annotations().clone().unwrap_or_default();
    annotations.remove(REF_NAME);
    if let Some(tag) = tag {
        annotations.insert(REF_NAME.to_owned(), tag.to_owned());
    }
    entry.set_annotations((!annotations.is_empty()).then_some(annotations));
    entry
}

/// A blob being written into a layout directory. Dropped before [`BlobWriter::finish`], it leaves
/// nothing.
#[derive(Debug)]
pub struct BlobWriter {
    dir: OwnedFd,
    file: File,
    /// Absent once the blob has its name.
    temporary: Option<String>,
    hasher: Hasher,
    size: u64,
}

impl BlobWriter {
    /// Ends the blob and gives it its name. A blob that is there already is kept.
    ///
    /// # Errors
    /// The file system fails; nothing is left of the blob then.
    pub fn finish(mut self) -> Result<Written, WriteError> {
        let digest = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256)).finish();
        let size = self.size;
        let path = blob_path(&digest);
        let written = Written { digest, size };
        if exists(self.dir.as_fd(), &path)? {
            return Ok(written);
        }
        if let Some(temporary) = &self.temporary {
            rustix::fs::renameat(&self.dir, temporary, &self.dir, &path).during("rename", path)?;
            self.temporary = None;
        }
        Ok(written)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.file.write(buf)?;
        self.hasher.update(&buf[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl BlobSink for BlobWriter {
    fn finish(self: Box<Self>) -> Result<Written, WriteError> {
        BlobWriter::finish(*self)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Whatever prevents this was reported by what failed before, or nothing did.
            let _unremoved = rustix::fs::unlinkat(&self.dir, temporary, AtFlags::empty());
        }
    }
}
