//! What the stores of a host take on disk, every inode counted once.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use durable::IoContext as _;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::bound_store::STORE;
use crate::{Storage, StorageError};

/// The stores, by their directories below the physical root.
const STORES: [(&str, &str); 5] = [
    ("ostree", "ostree/repo"),
    ("deployments", "ostree/deploy"),
    ("composefs", "composefs"),
    ("containers", STORE),
    ("boot", "boot"),
];

/// Not of the store that it lies in: bound images, where there is no repository of commits.
const BESIDE: &str = "composefs/bootc";

/// What one store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreUse {
    /// Its name.
    pub name: &'static str,
    /// Bytes on disk of everything in it.
    pub bytes: u64,
    /// Those of them that no other store has as well.
    pub unique: u64,
}

/// What all of them take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageUse {
    /// Each store that is there.
    pub stores: Vec<StoreUse>,
    /// Bytes on disk of all together.
    pub bytes: u64,
}

/// Bytes of an inode, and one bit for each store that has it.
type Inodes = HashMap<(u64, u64), (u64, u8)>;

/// What the stores take on disk: an inode with names in several of them takes its bytes once.
///
/// # Errors
/// [`StorageError::NoSystem`] when there is only a repository; otherwise what the system said.
pub fn storage_use(storage: &Storage) -> Result<StorageUse, StorageError> {
    let root = storage.root()?;
    let mut inodes = Inodes::new();
    let mut there = Vec::new();
    for (number, (name, path)) in STORES.iter().enumerate() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(root, *path, flags, Mode::empty()) {
            Err(Errno::NOENT) => continue,
            other => other.during("open", path)?,
        };
        let stat = rustix::fs::fstat(&dir).during("look at", path)?;
        let bit = 1 << number;
        note(&stat, bit, &mut inodes);
        walk(&dir, Path::new(path), (stat.st_dev, bit), &mut inodes)?;
        there.push((*name, bit));
    }
    let sum = |wanted: &dyn Fn(u8) -> bool| {
        let all = inodes.values().filter(|(_, bits)| wanted(*bits));
        all.map(|(bytes, _)| bytes).sum()
    };
    let stores = there.iter().map(|(name, bit)| StoreUse {
        name,
        bytes: sum(&|bits| bits & bit != 0),
        unique: sum(&|bits| bits == *bit),
    });
    Ok(StorageUse {
        stores: stores.collect(),
        bytes: sum(&|_| true),
    })
}

fn note(stat: &Stat, bit: u8, inodes: &mut Inodes) {
    // Blocks of 512 bytes, whatever the file system's are.
    let bytes = u64::try_from(stat.st_blocks).unwrap_or_default() * 512;
    let inode = inodes.entry((stat.st_dev, stat.st_ino)).or_default();
    *inode = (bytes, inode.1 | bit);
}

/// Everything below a directory, on the same file system.
fn walk(
    dir: &OwnedFd,
    path: &Path,
    (device, bit): (u64, u8),
    inodes: &mut Inodes,
) -> Result<(), durable::Error> {
    for entry in Dir::read_from(dir).during("list", path)? {
        let entry = entry.during("list", path)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let below = path.join(name.to_string_lossy().as_ref());
        let stat = match rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            // Others may work here at the same time.
            Err(Errno::NOENT) => continue,
            other => other.during("look at", &below)?,
        };
        let is_other_store = below == Path::new(BESIDE);
        if stat.st_dev != device || is_other_store {
            continue;
        }
        note(&stat, bit, inodes);
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let subdir = rustix::fs::openat(dir, name, flags, Mode::empty());
            walk(
                &subdir.during("open", &below)?,
                &below,
                (device, bit),
                inodes,
            )?;
        }
    }
    Ok(())
}
