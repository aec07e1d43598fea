//! Layers that the repository has, for whoever else wants them: their archives byte for byte, and the objects in them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use composefs::{Category, Store, StoreError};
use composefs_format::{Digest, StreamPart, StreamParts};
use oci::digest::Digest as OciDigest;
use oci::source::{ArchiveFiles, LocalLayer, LocalLayers};
use rustix::fs::{Mode, OFlags};

use crate::restore::has_layer;
use crate::splitter::{LAYER, layer_name};

/// The layers of a repository.
#[derive(Debug)]
pub struct StoredLayers(Arc<Store>);

impl StoredLayers {
    /// Those of this one.
    #[must_use]
    pub const fn new(store: Arc<Store>) -> Self {
        Self(store)
    }
}

impl LocalLayers for StoredLayers {
    fn layer(&self, diff_id: &OciDigest) -> io::Result<Option<LocalLayer>> {
        if !has_layer(&self.0, diff_id).map_err(io::Error::other)? {
            return Ok(None);
        }
        let name = layer_name(diff_id);
        let entry = self.0.entry(Category::Streams, &name);
        let Some(digest) = entry.map_err(io::Error::other)? else {
            return Ok(None);
        };
        let stream = self.0.stream(&digest).map_err(io::Error::other)?;
        if stream.content != LAYER {
            return Ok(None);
        }
        let size = stream.size;
        let files = Arc::new(Objects {
            store: Arc::clone(&self.0),
            bare: self.0.bare_objects()?,
            passed: Mutex::default(),
        });
        let archive = Archive {
            parts: stream.into_parts().map_err(io::Error::other)?,
            files: Arc::clone(&files),
            current: Current::Bytes(Cursor::default()),
            position: 0,
        };
        Ok(Some(LocalLayer {
            archive: Box::new(archive),
            size,
            files,
            store: "the composefs repository",
        }))
    }
}

/// The objects in an archive that is read, by where they stand.
#[derive(Debug)]
struct Objects {
    store: Arc<Store>,
    /// Where others can link objects.
    bare: OwnedFd,
    passed: Mutex<HashMap<u64, Digest>>,
}

impl ArchiveFiles for Objects {
    fn file_at(&self, offset: u64) -> Option<File> {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = passed.get(&offset).copied()?;
        drop(passed);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.bare, digest.object_path(), flags, Mode::empty());
        file.ok().map(File::from)
    }

    fn are_contents(&self) -> bool {
        // Whom a file belongs to may change it, where he gets to it.
        self.store.is_private().unwrap_or_default()
    }
}

/// An archive that is put together of a stream and objects.
struct Archive {
    parts: StreamParts,
    files: Arc<Objects>,
    current: Current,
    position: u64,
}

enum Current {
    Bytes(Cursor<Vec<u8>>),
    Object(File),
}

impl Archive {
    /// Whether there is more.
    fn go_on(&mut self) -> io::Result<bool> {
        let part = self.parts.next_part();
        self.current = match part.map_err(damaged)? {
            None => return Ok(false),
            Some(StreamPart::Bytes(bytes)) => Current::Bytes(Cursor::new(bytes)),
            Some(StreamPart::Object(digest)) => {
                let object = self.files.store.open_object(&digest);
                let passed = self.files.passed.lock();
                let mut passed = passed.unwrap_or_else(PoisonError::into_inner);
                passed.insert(self.position, digest);
                Current::Object(object.map_err(lost)?)
            }
        };
        Ok(true)
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let count = match &mut self.current {
                Current::Bytes(bytes) => bytes.read(buffer)?,
                Current::Object(object) => object.read(buffer)?,
            };
            self.position += count as u64;
            if count > 0 || !self.go_on()? {
                return Ok(count);
            }
        }
    }
}

fn damaged(error: composefs_format::StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn lost(error: StoreError) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, error)
}
