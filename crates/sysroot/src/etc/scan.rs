//! Reading trees of configuration.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use durable::{Error, IoContext as _};
use ostree::Repo;
use ostree_format::{Checksum, Hasher};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use tree::{Dir, Name, Node};

use super::tree::{EtcLeaf, EtcMeta, EtcTree};
use crate::dir;
use crate::source::SourceError;

/// Read this much at once.
const CHUNK: usize = 64 * 1024;

/// Read the tree in an open directory. What disappears meanwhile counts as not there.
pub(crate) fn scan_directory(dir: BorrowedFd<'_>) -> Result<EtcTree, Error> {
    let stat = rustix::fs::fstat(dir).during("look at", "etc")?;
    let mut found = Dir::new(meta(&stat));
    for (name, kind) in dir::entries(dir)? {
        let Ok(key) = Name::new(name.as_bytes()) else {
            continue;
        };
        let node = match kind {
            FileType::Directory => dir::optional(open_dir(dir, &name))?
                .map(|inner| scan_directory(inner.as_fd()).map(Node::Dir))
                .transpose()?,
            _ => dir::optional(scan_leaf(dir, &name))?.map(Node::Leaf),
        };
        found.children.extend(node.map(|node| (key, node)));
    }
    Ok(found)
}

fn open_dir(dir: BorrowedFd<'_>, name: impl AsRef<Path>) -> Result<std::os::fd::OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name.as_ref(), flags, Mode::empty()).during("open directory", name)
}

fn meta(stat: &Stat) -> EtcMeta {
    EtcMeta {
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
    }
}

fn scan_leaf(dir: BorrowedFd<'_>, name: impl AsRef<Path>) -> Result<EtcLeaf, Error> {
    let name = name.as_ref();
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).during("look at", name)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = rustix::fs::openat(dir, name, flags, Mode::empty()).during("open", name)?;
            let content = hash(File::from(file)).during("read", name)?;
            Ok(EtcLeaf::File {
                meta: meta(&stat),
                content,
            })
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(dir, name, Vec::new()).during("read link", name)?;
            Ok(EtcLeaf::Link {
                meta: meta(&stat),
                target: target.into_bytes(),
            })
        }
        _ => Ok(EtcLeaf::Other),
    }
}

fn hash(mut content: impl Read) -> std::io::Result<Checksum> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

/// Read the tree at `path` of a commit; `None` when it has no such directory.
pub(crate) fn scan_commit(
    repo: &Repo,
    commit: &Checksum,
    path: &str,
) -> Result<Option<EtcTree>, SourceError> {
    let Some((contents, meta)) = repo.subtree(commit, path)? else {
        return Ok(None);
    };
    scan_dirtree(repo, &contents, &meta).map(Some)
}

fn scan_dirtree(repo: &Repo, contents: &Checksum, meta: &Checksum) -> Result<EtcTree, SourceError> {
    let of = repo.load_dirmeta(meta)?;
    let mut found = Dir::new(EtcMeta {
        uid: of.uid,
        gid: of.gid,
        mode: of.mode & 0o7777,
    });
    let stored = repo.load_dirtree(contents)?;
    for (name, file) in &stored.files {
        let leaf = scan_object(repo, file)?;
        found
            .children
            .extend(key(name).map(|key| (key, Node::Leaf(leaf))));
    }
    for entry in &stored.dirs {
        let inner = scan_dirtree(repo, &entry.contents, &entry.meta)?;
        found
            .children
            .extend(key(&entry.name).map(|key| (key, Node::Dir(inner))));
    }
    Ok(found)
}

/// Names were checked when the dirtree was parsed.
fn key(name: &str) -> Option<Name> {
    Name::new(name.as_bytes()).ok()
}

fn scan_object(repo: &Repo, file: &Checksum) -> Result<EtcLeaf, SourceError> {
    let object = repo.open_file(file)?;
    let header = object.header;
    let meta = EtcMeta {
        uid: header.uid,
        gid: header.gid,
        mode: header.mode & 0o7777,
    };
    if let Some(target) = header.symlink {
        return Ok(EtcLeaf::Link {
            meta,
            target: target.into_bytes(),
        });
    }
    let content = hash(object.content).during("read object", file.to_string())?;
    Ok(EtcLeaf::File { meta, content })
}
