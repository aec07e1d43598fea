//! A commit in the composefs repository, too: its files are the same inodes.

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};

use composefs::{Adopted, Store, StoreError};
use composefs_format::{Algorithm, Digest, File, ImageError, VerityHasher};
use error_class::{Classified, ErrorClass};
use ostree::{FileObject, ReadError, RefError, file_attributes};
use ostree_format::Checksum;
use progress::{Interrupt, Interrupted, Progress};

use crate::{Storage, StorageError};

/// Content up to this many bytes is in images themselves, as in the images of composefs-rs.
const INLINE: u64 = 64;

/// What became of a commit and its files.
#[derive(Debug, Clone)]
pub struct Composed {
    /// The digest of the image, by which it is mounted.
    pub image: Digest,
    /// Files that were objects already.
    pub present: u64,
    /// Files that are the same inode in both stores now.
    pub linked: u64,
    /// Files that share their bytes.
    pub cloned: u64,
    /// Files whose bytes stand twice.
    pub copied: u64,
}

/// Why there is no image of a commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// The stores cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The commit was not found.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// An object could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The composefs repository cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The form of images cannot hold the tree.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The repository has no files as they are.
    #[error(
        "object {0} is packed: only the repository of a system has files that composefs can share"
    )]
    Packed(Checksum),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for ComposeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Storage(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Packed(_) => ErrorClass::Unsupported,
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// How many files became what.
#[derive(Debug, Default)]
struct Counts([AtomicU64; 4]);

impl Counts {
    fn count(&self, adopted: Adopted) {
        let which = match adopted {
            Adopted::Present => 0,
            Adopted::Linked => 1,
            Adopted::Cloned => 2,
            Adopted::Copied => 3,
        };
        self.0[which].fetch_add(1, Ordering::Relaxed);
    }

    fn numbers(&self) -> [u64; 4] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// Let the composefs repository, which is made where there is none, have an image of the commit `rev`, under `name`
/// if there is one, and the files of it.
///
/// # Errors
/// [`ComposeError`]; objects that were added until then stay.
pub fn storage_compose(
    storage: &Storage,
    rev: &str,
    name: Option<&str>,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Composed, ComposeError> {
    let commit = storage.repo().resolve(rev)?;
    let store = storage.ensure_composefs(Algorithm::Sha512)?;
    let counts = Counts::default();
    let make = |checksum: &Checksum, object| share(&store, &counts, checksum, object);
    let tree = storage
        .repo()
        .image_tree(&commit, make, progress, interrupt)?;
    let image = composefs_format::image(&tree, store.version())?;
    let image = store.add_image(&image, name)?;
    let [present, linked, cloned, copied] = counts.numbers();
    Ok(Composed {
        image,
        present,
        linked,
        cloned,
        copied,
    })
}

fn share(
    store: &Store,
    counts: &Counts,
    checksum: &Checksum,
    mut object: FileObject,
) -> Result<File, ComposeError> {
    let attributes = file_attributes(&object.header);
    if let Some(target) = object.header.symlink {
        return Ok(File::Symlink(attributes, target.into_bytes()));
    }
    if object.size == 0 {
        return Ok(File::Empty(attributes));
    }
    let unreadable = |source| durable::Error {
        verb: "read object",
        path: checksum.to_string().into(),
        source,
    };
    if object.size <= INLINE {
        let mut content = Vec::new();
        object
            .content
            .read_to_end(&mut content)
            .map_err(unreadable)?;
        return Ok(File::Inline(attributes, content));
    }
    let mut hasher = VerityHasher::new(store.algorithm());
    let size = std::io::copy(&mut object.content, &mut hasher).map_err(unreadable)?;
    let digest = hasher.finish();
    let file = object.content.as_plain();
    let file = file.ok_or(ComposeError::Packed(*checksum))?;
    counts.count(store.adopt(file, &digest)?);
    Ok(File::External {
        attributes,
        size,
        object: digest.object_path(),
        digest: Some(digest),
    })
}
