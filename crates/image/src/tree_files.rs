//! Files of a tree that is not in memory; only what lies on the way is read.

use std::io::Read as _;

use layer::ObjectSource;
use ostree::ReadError;
use ostree_format::{Checksum, DirTree, ObjectKind, ObjectName};

/// The content object of the file at `path` below the dirtree `contents`, if there is one.
pub(crate) fn find(
    source: &dyn ObjectSource,
    contents: Checksum,
    path: &str,
) -> Result<Option<Checksum>, ReadError> {
    let (parent, file) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(tree) = directory(source, contents, parent)? else {
        return Ok(None);
    };
    let mut files = tree.files.into_iter();
    let found = files.find(|(name, _)| name == file);
    Ok(found.map(|(_, checksum)| checksum))
}

/// The directory at `path` below the dirtree `contents`, if there is one.
pub(crate) fn directory(
    source: &dyn ObjectSource,
    contents: Checksum,
    path: &str,
) -> Result<Option<DirTree>, ReadError> {
    let mut tree = source.dirtree(&contents)?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        match tree.dirs.into_iter().find(|dir| dir.name == name) {
            Some(dir) => tree = source.dirtree(&dir.contents)?,
            None => return Ok(None),
        }
    }
    Ok(Some(tree))
}

/// The content of an object that has at most `limit` bytes.
pub(crate) fn content(
    source: &dyn ObjectSource,
    object: &Checksum,
    limit: u64,
) -> Result<Vec<u8>, ReadError> {
    let bad = |reason| ReadError::BadContent {
        name: ObjectName::new(*object, ObjectKind::File),
        reason,
    };
    let file = source.file(object)?;
    if file.size > limit {
        return Err(bad("it is larger than such a file may be"));
    }
    let mut bytes = Vec::new();
    let read = file.content.take(limit).read_to_end(&mut bytes);
    read.map_err(|_| bad("its content cannot be read to the end"))?;
    Ok(bytes)
}
