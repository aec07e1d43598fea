//! Images of commits for composefs: everything but the content of files, which the objects have.
//!
//! Source of the content: what `ostree checkout --composefs` of libostree 2026.4 writes, byte for byte.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use composefs_format::{
    Algorithm, Attributes, Digest, File, ImageError, ImageTree, Timestamp, VerityHasher, Version,
};
use durable::NoVerity;
use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, DirMeta, FileHeader, ObjectKind, ObjectName, RepoMode, Xattrs};
use progress::{Interrupt, Interrupted, Progress, Share, Task, TaskKind};
use tree::{Dir, Name, Node};

use crate::{FileObject, ReadError, Repo, Transaction, Tree, VerityError};

/// Where a commit says which digest its image has.
pub const COMPOSEFS_DIGEST_KEY: &str = "ostree.composefs.digest.v0";

/// Directories that a root needs for mounts; those that a tree lacks are in its image all the same.
const MOUNT_POINTS: [&str; 5] = ["usr", "etc", "boot", "var", "sysroot"];

/// Which digests an image demands of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerityDigests {
    /// None.
    None,
    /// Those of objects that the kernel verifies already.
    IfEnabled,
    /// All; what the kernel does not verify is read for it.
    All,
}

/// Why there is no image of a commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposefsError {
    /// It has not the digest that the commit says.
    #[error(
        "Generated composefs image digest ({actual}) doesn't match expected digest ({expected}) of commit {commit}"
    )]
    Mismatch {
        /// The commit.
        commit: Checksum,
        /// What its metadata say.
        expected: String,
        /// What the image has.
        actual: Digest,
    },
    /// The kernel cannot be made to verify it.
    #[error(transparent)]
    Verity(#[from] VerityError),
    /// The format cannot hold the tree.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An object could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for ComposefsError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Mismatch { .. } => ErrorClass::Corrupt,
            Self::Verity(error) => error.class(),
            Self::Image(error) => error.class(),
            Self::Read(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

/// Where objects are read from.
trait Objects: Sync {
    fn file(&self, checksum: &Checksum) -> Result<FileObject, ReadError>;
    fn dirmeta(&self, checksum: &Checksum) -> Result<DirMeta, ReadError>;
}

impl Objects for Repo {
    fn file(&self, checksum: &Checksum) -> Result<FileObject, ReadError> {
        self.open_file(checksum)
    }

    fn dirmeta(&self, checksum: &Checksum) -> Result<DirMeta, ReadError> {
        self.load_dirmeta(checksum)
    }
}

/// What is staged goes before what is stored.
impl Objects for Transaction<'_> {
    fn file(&self, checksum: &Checksum) -> Result<FileObject, ReadError> {
        match self.repo.open_file_in(self.staging.dir(), checksum) {
            Err(ReadError::Missing(_)) => self.repo.open_file(checksum),
            staged => staged,
        }
    }

    fn dirmeta(&self, checksum: &Checksum) -> Result<DirMeta, ReadError> {
        let name = ObjectName::new(*checksum, ObjectKind::DirMeta);
        let path = name.loose_path(self.repo.mode());
        let limit = ostree_format::limits::MAX_METADATA_SIZE;
        match durable::read_optional(self.staging.dir(), Path::new(&path), limit)? {
            Some(bytes) => {
                DirMeta::from_bytes(&bytes).map_err(|source| ReadError::Damaged { name, source })
            }
            None => self.repo.load_dirmeta(checksum),
        }
    }
}

impl Repo {
    /// The image of a commit. With [`VerityDigests::All`], its digest must be the one that the commit says,
    /// if it says one.
    ///
    /// # Errors
    /// [`ComposefsError`].
    pub fn composefs_image(
        &self,
        commit: &Checksum,
        digests: VerityDigests,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Vec<u8>, ComposefsError> {
        let object = self.load_commit(commit)?;
        let tree = self.load_tree(&object.contents, &object.meta)?;
        let image = image_of(self, &tree, digests, progress, interrupt)?;
        let expected = object.metadata.get(COMPOSEFS_DIGEST_KEY);
        if let Some(expected) = expected.filter(|_| digests == VerityDigests::All) {
            let actual = VerityHasher::digest(Algorithm::Sha256, &image);
            let expected = expected.as_bytes().unwrap_or_default();
            if expected != actual.as_bytes() {
                return Err(ComposefsError::Mismatch {
                    commit: *commit,
                    expected: expected.iter().map(|byte| format!("{byte:02x}")).collect(),
                    actual,
                });
            }
        }
        Ok(image)
    }

    /// The tree of a commit as an image has it, with the files that `make` makes of its objects, each object once
    /// and on several threads.
    ///
    /// # Errors
    /// The first error of `make`, and what keeps an object from being read.
    pub fn image_tree<E: From<ReadError> + From<Interrupted> + Send>(
        &self,
        commit: &Checksum,
        make: impl Fn(&Checksum, FileObject) -> Result<File, E> + Sync,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<ImageTree, E> {
        let object = self.load_commit(commit)?;
        let tree = self.load_tree(&object.contents, &object.meta)?;
        image_tree(self, &tree, make, progress, interrupt)
    }

    /// Write the image of a commit to the file `name` below `into`, replacing it; the kernel verifies it where
    /// the repository's config wants that. Nothing is synced.
    ///
    /// # Errors
    /// [`ComposefsError`]; what was there stays, unless fs-verity could not be had.
    pub fn checkout_composefs(
        &self,
        commit: &Checksum,
        (into, name): (BorrowedFd<'_>, &Path),
        digests: VerityDigests,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), ComposefsError> {
        let image = self.composefs_image(commit, digests, progress, interrupt)?;
        durable::publish_no_sync(into, name, &image, 0o644)?;
        self.enable_verity_of(into, name)?;
        Ok(())
    }
}

impl Transaction<'_> {
    /// The digest of the image of a tree that this transaction wrote, for [`COMPOSEFS_DIGEST_KEY`].
    ///
    /// # Errors
    /// [`ComposefsError`].
    pub fn composefs_digest(
        &self,
        tree: &Tree,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Digest, ComposefsError> {
        let image = image_of(self, tree, VerityDigests::All, progress, interrupt)?;
        Ok(VerityHasher::digest(Algorithm::Sha256, &image))
    }
}

fn image_of(
    objects: &impl Objects,
    tree: &Tree,
    digests: VerityDigests,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<Vec<u8>, ComposefsError> {
    let kernel = KernelDigests::default();
    let make = |checksum: &Checksum, object| file(checksum, object, digests, &kernel);
    let root = image_tree(objects, tree, make, progress, interrupt)?;
    Ok(composefs_format::image(&root, Version::V0)?)
}

/// A tree as an image has it, with the files that `make` makes of its objects and all mount points.
fn image_tree<E: From<ReadError> + From<Interrupted> + Send>(
    objects: &impl Objects,
    tree: &Tree,
    make: impl Fn(&Checksum, FileObject) -> Result<File, E> + Sync,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<ImageTree, E> {
    let files = files(objects, tree, make, progress, interrupt)?;
    let mut root = dir(objects, tree, &files, &mut HashMap::new())?;
    for name in MOUNT_POINTS {
        let attributes = Attributes {
            permissions: 0o755,
            ..Attributes::default()
        };
        if let Ok(name) = Name::new(name.as_bytes()) {
            let empty = || Node::Dir(Dir::new(attributes));
            root.children.entry(name).or_insert_with(empty);
        }
    }
    Ok(root)
}

/// Every file of a tree once, made by several threads.
fn files<E: From<ReadError> + From<Interrupted> + Send>(
    objects: &impl Objects,
    tree: &Tree,
    make: impl Fn(&Checksum, FileObject) -> Result<File, E> + Sync,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<HashMap<Checksum, File>, E> {
    let mut names = Vec::with_capacity(tree.leaf_count());
    tree.try_for_each_leaf(&mut |_, checksum| -> Result<(), E> {
        names.push(*checksum);
        Ok(())
    })?;
    names.sort_unstable();
    names.dedup();
    let count = names.len() as u64;
    let task = Task::begin(progress, TaskKind::VerityDigests, Some(count));
    let share = Share {
        threads: None,
        batch: 16,
    };
    let work = |found: &mut Vec<(Checksum, File)>, batch: &[Checksum]| {
        for checksum in batch {
            found.push((*checksum, make(checksum, objects.file(checksum)?)?));
        }
        Ok::<_, E>(())
    };
    let found = task.share_out(&names, share, interrupt, Vec::new, work)?;
    task.done();
    Ok(found.into_iter().flatten().collect())
}

/// Digests by which the kernel verifies objects, asked for until it says that it verifies none here.
#[derive(Debug, Default)]
struct KernelDigests {
    there_are_none: AtomicBool,
}

impl KernelDigests {
    fn of(&self, object: &FileObject) -> Option<Digest> {
        // A late reader of the flag asks in vain, no more.
        if self.there_are_none.load(Ordering::Relaxed) {
            return None;
        }
        match durable::verity_digest(object.content.as_plain()?) {
            Ok(digest) => digest.map(Digest::Sha256),
            Err(NoVerity) => {
                self.there_are_none.store(true, Ordering::Relaxed);
                None
            }
        }
    }
}

/// A file as libostree's images have it: its object stands where the repository has it.
fn file(
    checksum: &Checksum,
    mut object: FileObject,
    digests: VerityDigests,
    kernel: &KernelDigests,
) -> Result<File, ComposefsError> {
    let attributes = file_attributes(&object.header);
    if let Some(target) = object.header.symlink {
        return Ok(File::Symlink(attributes, target.into_bytes()));
    }
    if object.size == 0 {
        return Ok(File::Empty(attributes));
    }
    let name = ObjectName::new(*checksum, ObjectKind::File);
    let path = name.loose_path(RepoMode::Bare);
    let digest = match digests {
        VerityDigests::None => None,
        VerityDigests::IfEnabled => kernel.of(&object),
        VerityDigests::All => match kernel.of(&object) {
            Some(known) => Some(known),
            None => Some(read_digest(&mut object, name)?),
        },
    };
    Ok(File::External {
        attributes,
        size: object.size,
        object: path,
        digest,
    })
}

fn read_digest(object: &mut FileObject, name: ObjectName) -> Result<Digest, ReadError> {
    let mut hasher = VerityHasher::new(Algorithm::Sha256);
    let mut content = (&mut object.content).take(object.size.saturating_add(1));
    let read = io::copy(&mut content, &mut hasher).map_err(|source| durable::Error {
        verb: "read object",
        path: name.to_string().into(),
        source,
    })?;
    if read != object.size {
        let reason = "its content has another size than it says";
        return Err(ReadError::BadContent { name, reason });
    }
    Ok(hasher.finish())
}

fn dir(
    objects: &impl Objects,
    tree: &Tree,
    files: &HashMap<Checksum, File>,
    metas: &mut HashMap<Checksum, Attributes>,
) -> Result<ImageTree, ReadError> {
    let attributes = match metas.get(&tree.meta) {
        Some(known) => known.clone(),
        None => {
            let meta = objects.dirmeta(&tree.meta)?;
            let read = attributes(meta.uid, meta.gid, meta.mode, &meta.xattrs);
            metas.insert(tree.meta, read.clone());
            read
        }
    };
    let mut image = Dir::new(attributes);
    for (name, node) in &tree.children {
        let node = match node {
            Node::Dir(below) => Some(Node::Dir(dir(objects, below, files, metas)?)),
            Node::Leaf(checksum) => files.get(checksum).cloned().map(Node::Leaf),
        };
        image.children.extend(node.map(|node| (name.clone(), node)));
    }
    Ok(image)
}

/// What an image says of a file besides its content.
#[must_use]
pub fn file_attributes(header: &FileHeader) -> Attributes {
    attributes(header.uid, header.gid, header.mode, &header.xattrs)
}

fn attributes(uid: u32, gid: u32, mode: u32, xattrs: &Xattrs) -> Attributes {
    let xattrs = xattrs
        .iter()
        .map(|(name, value)| (name.to_vec(), value.to_vec()));
    Attributes {
        uid,
        gid,
        permissions: mode & 0o7777,
        // Commits have no times.
        mtime: Timestamp::default(),
        xattrs: xattrs.collect(),
    }
}
