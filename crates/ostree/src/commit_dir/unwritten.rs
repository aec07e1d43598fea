//! A directory of a file system as the objects that a commit of it consists of, without a repository:
//! nothing is written, content stays where it is.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use durable::IoContext as _;
use ostree_format::{
    Checksum, DirEntry, DirTree, FileHeader, ObjectKind, ObjectName, Xattrs, limits, mode,
};
use progress::{Interrupt, Progress, Share, Task, TaskKind};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use tree::{Dir, Name, Node};

use super::options::Ownership;
use super::scan::entries;
use super::{CommitDirError, CommitDirOptions, Skeleton, fill, shown};
use crate::content::{FileObject, descriptor_xattrs, link_xattrs_at, linked, plain};
use crate::{ReadError, Tree};

/// Content is read in pieces of this size.
const PIECE: usize = 256 * 1024;

/// A directory whose files have been hashed.
#[derive(Debug)]
pub struct DirectoryScan {
    /// The tree. It may be changed before [`DirectoryScan::into_objects`].
    pub tree: Tree,
    objects: DirectoryObjects,
}

/// The objects of a directory. Content is read from its files, which may have changed meanwhile: whoever
/// reads it hashes it.
#[derive(Debug)]
pub struct DirectoryObjects {
    root: OwnedFd,
    metadata: BTreeMap<ObjectName, Vec<u8>>,
    files: HashMap<Checksum, Located>,
}

/// A content object, and the first file that has it.
#[derive(Debug)]
struct Located {
    path: PathBuf,
    header: FileHeader,
}

impl DirectoryScan {
    /// Reads and hashes everything below `root`. Of the options, those count that change what is found:
    /// owners, modes, attributes, labels, what is left out.
    ///
    /// # Errors
    /// [`CommitDirError`] names the path.
    pub fn new(
        root: OwnedFd,
        options: &CommitDirOptions<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, CommitDirError> {
        let task = Task::begin(progress, TaskKind::CopyFiles, None);
        let mut walk = Walk {
            options,
            interrupt,
            metadata: BTreeMap::new(),
            files: Vec::new(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::openat(&root, ".", flags, Mode::empty());
        let top = top.during("open directory", "/")?;
        let skeleton = walk.directory(&top, PathBuf::new(), limits::MAX_DEPTH)?;
        let Walk {
            metadata, files, ..
        } = walk;
        let checksums = hash_all(&root, &files, options.threads, &task, interrupt)?;
        let tree = fill(skeleton, &checksums);
        let mut located = HashMap::with_capacity(files.len());
        for (file, checksum) in files.into_iter().zip(checksums) {
            if let Some(checksum) = checksum {
                located.entry(checksum).or_insert(file);
            }
        }
        task.done();
        Ok(Self {
            tree,
            objects: DirectoryObjects {
                root,
                metadata,
                files: located,
            },
        })
    }

    /// The objects, and the dirtree of the root.
    ///
    /// # Errors
    /// [`CommitDirError::NotUtf8`].
    pub fn into_objects(self) -> Result<(DirectoryObjects, Checksum), CommitDirError> {
        let Self { tree, mut objects } = self;
        let contents = objects.add_tree(&tree, Path::new("/"))?;
        Ok((objects, contents))
    }
}

impl DirectoryObjects {
    /// Adds a metadata object.
    pub fn add_metadata(&mut self, kind: ObjectKind, bytes: Vec<u8>) -> Checksum {
        let checksum = Checksum::of(&bytes);
        self.metadata.insert(ObjectName::new(checksum, kind), bytes);
        checksum
    }

    /// The bytes of a metadata object.
    #[must_use]
    pub fn load_bytes(&self, name: &ObjectName) -> Option<Vec<u8>> {
        self.metadata.get(name).cloned()
    }

    /// Opens a content object.
    ///
    /// # Errors
    /// [`ReadError::Missing`] when there is none, else what the system said.
    pub fn open_file(&self, checksum: &Checksum) -> Result<FileObject, ReadError> {
        let missing = || ReadError::Missing(ObjectName::new(*checksum, ObjectKind::File));
        let located = self.files.get(checksum).ok_or_else(missing)?;
        if located.header.is_symlink() {
            return Ok(linked(located.header.clone()));
        }
        let file = open(&self.root, &located.path)?;
        let stat = rustix::fs::fstat(&file).during("look at", &located.path)?;
        Ok(plain(located.header.clone(), file, &stat))
    }

    fn add_tree(&mut self, tree: &Tree, path: &Path) -> Result<Checksum, CommitDirError> {
        let mut stored = DirTree::default();
        for (name, node) in &tree.children {
            let not_utf8 = || CommitDirError::NotUtf8 {
                path: path.to_owned(),
            };
            let name = name.to_str().ok_or_else(not_utf8)?.to_owned();
            match node {
                Node::Leaf(file) => stored.files.push((name, *file)),
                Node::Dir(below) => {
                    let contents = self.add_tree(below, &path.join(&name))?;
                    let meta = below.meta;
                    stored.dirs.push(DirEntry {
                        name,
                        contents,
                        meta,
                    });
                }
            }
        }
        Ok(self.add_metadata(ObjectKind::DirTree, stored.to_bytes()))
    }
}

struct Walk<'a, 'o> {
    options: &'a CommitDirOptions<'o>,
    interrupt: &'a Interrupt,
    metadata: BTreeMap<ObjectName, Vec<u8>>,
    files: Vec<Located>,
}

impl Walk<'_, '_> {
    fn directory(
        &mut self,
        dir: &OwnedFd,
        path: PathBuf,
        depth: usize,
    ) -> Result<Skeleton, CommitDirError> {
        self.interrupt.check()?;
        let Some(depth) = depth.checked_sub(1) else {
            return Err(CommitDirError::TooDeep { path });
        };
        let mut result = Dir::new(self.dirmeta(dir, &path)?);
        for (name, kind) in entries(dir, &path)? {
            let child = Path::new("/").join(&path).join(&name);
            if self.options.skip.contains(&child) {
                continue;
            }
            let Some(Ok(key)) = name.to_str().map(|name| Name::new(name.as_bytes())) else {
                return Err(CommitDirError::NotUtf8 { path: child });
            };
            let node = match kind {
                FileType::Directory => {
                    let flags =
                        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let below = rustix::fs::openat(dir, &name, flags, Mode::empty());
                    let below = below.during("open directory", &child)?;
                    Node::Dir(self.directory(&below, child, depth)?)
                }
                FileType::RegularFile | FileType::Symlink => {
                    let header = self.header(dir, Path::new(&name), &child)?;
                    self.files.push(Located {
                        path: child,
                        header,
                    });
                    Node::Leaf(self.files.len() - 1)
                }
                _ => return Err(CommitDirError::FileType { path: child }),
            };
            result.children.insert(key, node);
        }
        Ok(result)
    }

    fn dirmeta(&mut self, dir: &OwnedFd, path: &Path) -> Result<Checksum, CommitDirError> {
        let path = shown(path);
        let stat = rustix::fs::fstat(dir).during("look at", path)?;
        let stored = self.stored(path, &stat);
        let xattrs = self.xattrs(path, stored.mode, || descriptor_xattrs(dir.as_fd(), path))?;
        let meta = stored.dirmeta(xattrs);
        let bytes = meta.to_bytes();
        let checksum = Checksum::of(&bytes);
        let name = ObjectName::new(checksum, ObjectKind::DirMeta);
        self.metadata.insert(name, bytes);
        Ok(checksum)
    }

    fn header(
        &self,
        dir: &OwnedFd,
        name: &Path,
        path: &Path,
    ) -> Result<FileHeader, CommitDirError> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.during("look at", path)?;
        let stored = self.stored(path, &stat);
        let mut symlink = None;
        if mode::is_symlink(stat.st_mode) {
            let target = rustix::fs::readlinkat(dir, name, Vec::new());
            let target = target.during("read link", path)?.into_string();
            symlink = Some(target.map_err(|_| CommitDirError::NotUtf8 {
                path: path.to_owned(),
            })?);
        }
        let xattrs = self.xattrs(path, stored.mode, || link_xattrs_at(dir.as_fd(), name))?;
        Ok(stored.header(xattrs, symlink))
    }

    fn stored(&self, path: &Path, stat: &Stat) -> Ownership {
        let canonical = self.options.canonical_permissions;
        self.options.ownership(path, Ownership::of(stat), canonical)
    }

    fn xattrs(
        &self,
        path: &Path,
        mode: u32,
        read: impl FnOnce() -> Result<Xattrs, durable::Error>,
    ) -> Result<Xattrs, CommitDirError> {
        let leave_out = self.options.canonical_permissions;
        self.options.stored_xattrs(path, mode, leave_out, read)
    }
}

/// The checksums of all files, on several threads.
fn hash_all(
    root: &OwnedFd,
    files: &[Located],
    threads: Option<NonZeroUsize>,
    task: &Task<'_>,
    interrupt: &Interrupt,
) -> Result<Vec<Option<Checksum>>, CommitDirError> {
    let places: Vec<usize> = (0..files.len()).collect();
    let share = Share { threads, batch: 1 };
    let hashed = task.share_out(
        &places,
        share,
        interrupt,
        || (Vec::new(), vec![0; PIECE]),
        |(hashed, buffer), places| -> Result<(), CommitDirError> {
            for at in places {
                hashed.push((*at, hash(root, &files[*at], buffer)?));
            }
            Ok(())
        },
    )?;
    let mut checksums = vec![None; files.len()];
    for (at, checksum) in hashed.into_iter().flat_map(|(hashed, _)| hashed) {
        checksums[at] = Some(checksum);
    }
    Ok(checksums)
}

fn hash(root: &OwnedFd, file: &Located, buffer: &mut [u8]) -> Result<Checksum, CommitDirError> {
    let mut hasher = file.header.hasher();
    if file.header.is_symlink() {
        return Ok(hasher.finish());
    }
    let mut content = open(root, &file.path)?;
    loop {
        match content.read(buffer).during("read", &file.path)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn open(root: &OwnedFd, path: &Path) -> Result<File, durable::Error> {
    let below = path.strip_prefix("/").unwrap_or(path);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(root, below, flags, Mode::empty())
        .during("open", path)
        .map(File::from)
}
