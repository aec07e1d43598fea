//! From the archive of a layer to a split stream and objects.

use std::sync::Arc;

use composefs::{Batch, ObjectWriter, Store, StoreError};
use composefs_format::{Digest, StreamWriter, VerityHasher};
use error_class::{Classified, ErrorClass};
use layer::{Companion, CompanionLayer, Tap, TapContent, TapError};
use oci::digest::Digest as OciDigest;
use oci::source::ArchiveFiles;
use ostree::Repo;
use ostree_format::{Checksum, ObjectKind, ObjectName, RepoMode};

use crate::ImageError;
use crate::restore::has_layer;
use crate::waiting::{SMALL, WaitingStream};

/// Files up to this many bytes stay in the stream, and in images.
pub(crate) const INLINE: u64 = 64;

/// Files up to this size are held in memory, so that one that is stored already is never written.
const IN_MEMORY: u64 = 1024 * 1024;

/// What a split stream of a layer is called in its header.
pub(crate) const LAYER: [u8; 8] = *b"ocilayer";

/// Takes in the archive of a layer.
#[derive(Debug)]
pub struct LayerSplitter<'s> {
    batch: Batch<'s>,
    stream: WaitingStream,
    /// Where files are stored that need not be stored again.
    shared: Option<&'s Repo>,
    /// Where files are that are stored as those of another store, and need not be stored again.
    files: Option<Arc<dyn ArchiveFiles>>,
    /// Those of them that are objects, by where they stand in the archive.
    found: Vec<(u64, Digest)>,
    position: u64,
    current: Current,
    buffer: Vec<u8>,
}

/// What becomes of the content that comes.
#[derive(Debug)]
enum Current {
    /// It stays in the stream.
    Stays,
    /// Somebody else stores it.
    Hashed(VerityHasher, u64),
    /// It is stored as a file of another store; where it stands.
    Found(VerityHasher, u64, u64),
    /// Somebody else stores it, and it is small.
    Waits(Vec<u8>),
    /// It is gathered.
    Small,
    /// It is written.
    Large(Box<ObjectWriter>),
}

/// Why an archive cannot be split.
#[derive(Debug, thiserror::Error)]
enum SplitError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot compress: {0}")]
    Compress(#[from] std::io::Error),
    #[error(
        "files with holes are not supported in a composefs repository; build the layer without"
    )]
    Sparse,
}

impl Classified for SplitError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Compress(error) => error.class(),
            Self::Sparse => ErrorClass::Unsupported,
        }
    }
}

/// The name of a layer's stream.
pub(crate) fn layer_name(diff_id: &OciDigest) -> String {
    format!("oci-layer-{diff_id}")
}

impl<'s> LayerSplitter<'s> {
    /// Begin a layer. Files that are imported into `repo` meanwhile become objects by another name, if it has
    /// files as they are.
    ///
    /// # Errors
    /// [`ImageError`].
    pub fn begin(store: &'s Store, repo: Option<&'s Repo>) -> Result<Self, ImageError> {
        let is_plain = |repo: &&Repo| {
            matches!(
                repo.mode(),
                RepoMode::Bare | RepoMode::BareUser | RepoMode::BareUserOnly
            )
        };
        let algorithm = store.algorithm();
        let stream = StreamWriter::new(algorithm, LAYER).map_err(ImageError::Compress)?;
        Ok(Self {
            batch: store.begin()?,
            stream: WaitingStream::new(algorithm, stream),
            shared: repo.filter(is_plain),
            files: None,
            found: Vec::new(),
            position: 0,
            current: Current::Stays,
            buffer: Vec::new(),
        })
    }

    /// The archive is made of these files, which become objects as well where that is possible.
    #[must_use]
    pub fn made_of(mut self, files: Option<Arc<dyn ArchiveFiles>>) -> Self {
        self.files = files.filter(|files| !files.are_contents());
        self
    }

    /// The layer is complete, and whatever was stored elsewhere is on disk. The digest of its stream.
    ///
    /// # Errors
    /// [`ImageError`]; the layer is not there then.
    pub fn finish(mut self, diff_id: &OciDigest) -> Result<Digest, ImageError> {
        let finished = self.stream.finish();
        let (stream, shared) = finished.map_err(ImageError::Compress)?;
        for (checksum, digest) in shared {
            share(&mut self.batch, self.shared, &checksum, digest)?;
        }
        if let Some(files) = self.files {
            share_found(&mut self.batch, files.as_ref(), self.found)?;
        }
        let digest = self.batch.add_stream(&layer_name(diff_id), &stream)?;
        self.batch.commit()?;
        Ok(digest)
    }

    fn split<T>(result: Result<T, impl Into<SplitError>>) -> Result<T, Box<TapError>> {
        result.map_err(|error| TapError::new(error.into()))
    }
}

impl Tap for LayerSplitter<'_> {
    fn header(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        self.position += bytes.len() as u64;
        Self::split(self.stream.next_entry())?;
        self.stream.bytes(bytes);
        Ok(())
    }

    fn begin(&mut self, content: TapContent, size: u64) -> Result<(), Box<TapError>> {
        self.buffer.clear();
        self.current = match content {
            TapContent::Sparse => return Self::split(Err(SplitError::Sparse)),
            TapContent::File { is_stored } if size > INLINE => {
                let is_shared = is_stored && self.shared.is_some();
                let files = self.files.as_ref().filter(|_| !is_shared);
                if files.is_some_and(|files| files.file_at(self.position).is_some()) {
                    let hasher = VerityHasher::new(self.batch.store().algorithm());
                    Current::Found(hasher, size, self.position)
                } else if is_shared && size <= SMALL {
                    Current::Waits(Vec::with_capacity(size as usize))
                } else if is_shared {
                    Current::Hashed(VerityHasher::new(self.batch.store().algorithm()), size)
                } else if size <= IN_MEMORY {
                    Current::Small
                } else {
                    Current::Large(Box::new(Self::split(self.batch.writer())?))
                }
            }
            _ => Current::Stays,
        };
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        self.position += bytes.len() as u64;
        match &mut self.current {
            Current::Stays => self.stream.bytes(bytes),
            Current::Hashed(hasher, _) | Current::Found(hasher, ..) => hasher.update(bytes),
            Current::Waits(content) => content.extend_from_slice(bytes),
            Current::Small => self.buffer.extend_from_slice(bytes),
            Current::Large(writer) => Self::split(writer.write_bytes(bytes))?,
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Box<TapError>> {
        let (digest, size) = match std::mem::replace(&mut self.current, Current::Stays) {
            Current::Stays => return Ok(()),
            Current::Waits(content) => {
                self.stream.file(content);
                return Ok(());
            }
            Current::Hashed(hasher, size) => (hasher.finish(), size),
            Current::Found(hasher, size, position) => {
                let digest = hasher.finish();
                self.found.push((position, digest));
                (digest, size)
            }
            Current::Small => {
                let digest = Self::split(self.batch.add_object(&self.buffer))?;
                (digest, self.buffer.len() as u64)
            }
            Current::Large(writer) => Self::split(self.batch.finish(*writer))?,
        };
        Self::split(self.stream.object(digest, size))
    }

    fn padding(&mut self, bytes: &[u8]) -> Result<(), Box<TapError>> {
        self.position += bytes.len() as u64;
        self.stream.bytes(bytes);
        Ok(())
    }

    fn stored(&mut self, object: Checksum) {
        if self.shared.is_some() {
            self.stream.is_shared(object);
        }
    }
}

/// Lets files of another store be objects, too.
fn share_found(
    batch: &mut Batch<'_>,
    files: &dyn ArchiveFiles,
    found: Vec<(u64, Digest)>,
) -> Result<(), ImageError> {
    let lost = |digest: &Digest| StoreError::Missing {
        digest: digest.to_string(),
    };
    let mut error = None;
    let opened = found.into_iter().map_while(|(position, digest)| {
        let file = files.file_at(position);
        if file.is_none() {
            error = Some(lost(&digest));
        }
        file.map(|file| (file, digest))
    });
    batch.share(opened)?;
    error.map_or(Ok(()), |error| Err(error.into()))
}

/// Lets an object of the other repository be one of the batch, too.
fn share(
    batch: &mut Batch<'_>,
    shared: Option<&Repo>,
    checksum: &Checksum,
    digest: Digest,
) -> Result<(), ImageError> {
    let Some(repo) = shared else {
        return Ok(());
    };
    let name = ObjectName::new(*checksum, ObjectKind::File);
    let path = format!("objects/{}", name.loose_path(repo.mode()));
    if batch.adopt_at(repo.dir(), &path, digest)?.is_some() {
        return Ok(());
    }
    // It is in the repository below.
    let object = repo.open_file(checksum)?;
    if let Some(file) = object.content.as_plain() {
        batch.adopt(file, digest)?;
    }
    Ok(())
}

/// A repository that has the layers of images beside one of commits: their files are the same inodes.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'s>(pub &'s Store);

impl Companion for Beside<'_> {
    fn has(&self, diff_id: &str) -> Result<bool, Box<TapError>> {
        let diff_id = diff_id.parse().map_err(TapError::new)?;
        has_layer(self.0, &diff_id).map_err(TapError::new)
    }

    fn begin<'a>(&'a self, repo: &'a Repo) -> Result<Box<dyn CompanionLayer + 'a>, Box<TapError>> {
        let splitter = LayerSplitter::begin(self.0, Some(repo)).map_err(TapError::new)?;
        Ok(Box::new(splitter))
    }
}

impl CompanionLayer for LayerSplitter<'_> {
    fn finish(self: Box<Self>, diff_id: &str) -> Result<(), Box<TapError>> {
        let diff_id = diff_id.parse().map_err(TapError::new)?;
        let finished = Self::finish(*self, &diff_id);
        finished.map(drop).map_err(TapError::new)
    }
}
