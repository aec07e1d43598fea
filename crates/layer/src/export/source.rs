//! Where objects come from that are written into layers: a repository, or a directory that was never
//! committed to one.

use ostree::{DirectoryObjects, FileObject, ReadError, Repo};
use ostree_format::{
    Checksum, Commit, DirMeta, DirTree, FormatError, ObjectKind, ObjectName, RepoMode,
};

/// A source of objects.
pub trait ObjectSource {
    /// The bytes of a metadata object, or `None` when it is not there.
    ///
    /// # Errors
    /// [`ReadError`].
    fn bytes(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, ReadError>;

    /// Opens a content object.
    ///
    /// # Errors
    /// [`ReadError`].
    fn file(&self, checksum: &Checksum) -> Result<FileObject, ReadError>;

    /// Bytes of content, the same wherever the object comes from.
    ///
    /// # Errors
    /// [`ReadError`].
    fn size(&self, checksum: &Checksum) -> Result<u64, ReadError> {
        let file = self.file(checksum)?;
        let target = file.header.symlink.as_ref();
        Ok(target.map_or(file.size, |target| target.len() as u64))
    }
}

impl ObjectSource for Repo {
    fn bytes(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.load_bytes(name)?)
    }

    fn file(&self, checksum: &Checksum) -> Result<FileObject, ReadError> {
        self.open_file(checksum)
    }

    fn size(&self, checksum: &Checksum) -> Result<u64, ReadError> {
        let name = ObjectName::new(*checksum, ObjectKind::File);
        if self.mode() != RepoMode::Archive {
            return self.stored_size(&name)?.ok_or(ReadError::Missing(name));
        }
        let file = self.open_file(checksum)?;
        let target = file.header.symlink.as_ref();
        Ok(target.map_or(file.size, |target| target.len() as u64))
    }
}

impl ObjectSource for DirectoryObjects {
    fn bytes(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.load_bytes(name))
    }

    fn file(&self, checksum: &Checksum) -> Result<FileObject, ReadError> {
        self.open_file(checksum)
    }
}

/// The bytes of a metadata object that must be there.
pub(super) fn bytes(source: &dyn ObjectSource, name: &ObjectName) -> Result<Vec<u8>, ReadError> {
    source.bytes(name)?.ok_or(ReadError::Missing(*name))
}

fn parsed<T>(
    source: &dyn ObjectSource,
    checksum: &Checksum,
    kind: ObjectKind,
    parse: fn(&[u8]) -> Result<T, FormatError>,
) -> Result<T, ReadError> {
    let name = ObjectName::new(*checksum, kind);
    let bytes = bytes(source, &name)?;
    parse(&bytes).map_err(|source| ReadError::Damaged { name, source })
}

impl dyn ObjectSource + '_ {
    /// A commit.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn commit(&self, checksum: &Checksum) -> Result<Commit, ReadError> {
        parsed(self, checksum, ObjectKind::Commit, Commit::from_bytes)
    }

    /// A dirtree.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn dirtree(&self, checksum: &Checksum) -> Result<DirTree, ReadError> {
        parsed(self, checksum, ObjectKind::DirTree, DirTree::from_bytes)
    }

    /// A dirmeta.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn dirmeta(&self, checksum: &Checksum) -> Result<DirMeta, ReadError> {
        parsed(self, checksum, ObjectKind::DirMeta, DirMeta::from_bytes)
    }
}
