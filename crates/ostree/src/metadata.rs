use std::path::Path;

use error_class::{Classified, ErrorClass};
use ostree_format::{
    Checksum, Commit, DirMeta, DirTree, FormatError, Metadata, ObjectKind, ObjectName, limits,
};

use crate::Repo;

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not stored.
    #[error("{}", missing(.0))]
    Missing(ObjectName),
    /// It is stored, but damaged.
    #[error("damaged object {name}: {source}")]
    Damaged {
        /// The object.
        name: ObjectName,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// What is stored under a content name is no regular file or link of the form the mode asks for.
    #[error("damaged object {name}: {reason}")]
    BadContent {
        /// The object.
        name: ObjectName,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Directories are nested more deeply than a tree may be.
    #[error("the tree is nested too deeply (more than 256 directories) at dirtree {0}")]
    TooDeep(Checksum),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

fn missing(name: &ObjectName) -> String {
    match name.kind {
        ObjectKind::File => format!("Couldn't find file object '{}'", name.checksum),
        _ => format!("No such metadata object {name}"),
    }
}

impl Classified for ReadError {
    fn class(&self) -> ErrorClass {
        match self {
            // A name that the store itself gave must be there: its absence is damage.
            Self::Missing(_)
            | Self::Damaged { .. }
            | Self::BadContent { .. }
            | Self::TooDeep(_) => ErrorClass::Corrupt,
            Self::Io(error) => error.class(),
        }
    }
}

impl Repo {
    /// Read a commit.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn load_commit(&self, checksum: &Checksum) -> Result<Commit, ReadError> {
        self.load_parsed(checksum, ObjectKind::Commit, Commit::from_bytes)
    }

    /// Read a dirtree.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn load_dirtree(&self, checksum: &Checksum) -> Result<DirTree, ReadError> {
        self.load_parsed(checksum, ObjectKind::DirTree, DirTree::from_bytes)
    }

    /// Read a dirmeta.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn load_dirmeta(&self, checksum: &Checksum) -> Result<DirMeta, ReadError> {
        self.load_parsed(checksum, ObjectKind::DirMeta, DirMeta::from_bytes)
    }

    /// Read the detached metadata of a commit, if it has any.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn load_detached_metadata(&self, commit: &Checksum) -> Result<Option<Metadata>, ReadError> {
        let name = ObjectName::new(*commit, ObjectKind::CommitMeta);
        match self.load_bytes(&name)? {
            None => Ok(None),
            Some(bytes) => Metadata::from_bytes(&bytes)
                .map(Some)
                .map_err(|source| ReadError::Damaged { name, source }),
        }
    }

    /// The bytes of a metadata object, or `None` when it is not stored.
    ///
    /// # Errors
    /// What the system said; `FileTooLarge` above libostree's own limit.
    pub fn load_bytes(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, durable::Error> {
        let path = name.loose_path(self.mode());
        let limit = limits::MAX_METADATA_SIZE;
        let bytes = durable::read_optional(self.objects(), Path::new(&path), limit)?;
        match (bytes, self.parent()) {
            (None, Some(parent)) => parent.load_bytes(name),
            (bytes, _) => Ok(bytes),
        }
    }

    fn load_parsed<T>(
        &self,
        checksum: &Checksum,
        kind: ObjectKind,
        parse: fn(&[u8]) -> Result<T, FormatError>,
    ) -> Result<T, ReadError> {
        let name = ObjectName::new(*checksum, kind);
        let bytes = self.load_bytes(&name)?.ok_or(ReadError::Missing(name))?;
        parse(&bytes).map_err(|source| ReadError::Damaged { name, source })
    }
}
