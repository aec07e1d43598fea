//! Whether refs and commits agree about belonging together.

use error_class::{Classified, ErrorClass};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Commit, ObjectKind};
use progress::{Interrupt, Interrupted};

use crate::refs::RefOwner;
use crate::{
    BindingError, CollectionRef, ReadError, RefError, Repo, bound_collection, bound_refs,
    verify_bindings,
};

/// A ref and a commit do not belong together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The commit says that it was made for something else.
    #[error("Commit {commit}: {source}")]
    Binding {
        /// The commit.
        commit: Checksum,
        /// What it says.
        source: BindingError,
    },
    /// The commit was made for a ref that is not there.
    #[error("{name} in bindings for commit {commit} does not exist")]
    NoRef {
        /// The ref.
        name: String,
        /// The commit.
        commit: Checksum,
    },
    /// The commit was made for a ref that names another one.
    #[error("{name} in bindings for commit {commit} does not resolve to that commit")]
    OtherCommit {
        /// The ref.
        name: String,
        /// The commit.
        commit: Checksum,
    },
    /// A commit cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A ref cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// Stop was asked for.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for ReferenceError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Binding { source, .. } => source.class(),
            Self::NoRef { .. } | Self::OtherCommit { .. } => ErrorClass::Corrupt,
            Self::Read(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Interrupted(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Repo {
    /// Check that the commit of every ref was made for that ref.
    ///
    /// # Errors
    /// The first one that was not.
    pub fn verify_ref_bindings(&self) -> Result<(), ReferenceError> {
        let own = self.collection_id();
        for found in self.ref_files()? {
            let Some(commit) = found.commit? else {
                continue;
            };
            let collection = match &found.owner {
                RefOwner::Local => own.as_deref(),
                RefOwner::Mirror(collection) => Some(collection.as_str()),
                RefOwner::Remote(_) => None,
            };
            verify_bindings(
                &self.load_commit(&commit)?,
                collection,
                Some(found.name.as_str()),
            )
            .map_err(|source| ReferenceError::Binding { commit, source })?;
        }
        Ok(())
    }

    /// Check that the refs that commits were made for name them.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn verify_back_references(&self, interrupt: &Interrupt) -> Result<(), ReferenceError> {
        for head in 0..=u8::MAX {
            for name in self.objects_in(head)? {
                if name.kind == ObjectKind::Commit {
                    interrupt.check()?;
                    self.verify_bound(name.checksum, &self.load_commit(&name.checksum)?)?;
                }
            }
        }
        Ok(())
    }

    fn verify_bound(&self, commit: Checksum, object: &Commit) -> Result<(), ReferenceError> {
        for bound in bound_refs(object).unwrap_or_default() {
            let name = bound.parse().map_err(RefError::from)?;
            let (name, found) = match bound_collection(object) {
                Some(collection) => {
                    let collection = collection.to_owned();
                    let reference = CollectionRef { collection, name };
                    let shown = format!("Collection–ref {reference}");
                    (shown, self.read_collection_ref(&reference)?)
                }
                None => {
                    let found = self.read_ref(&Refspec::local(name))?;
                    (format!("Ref ‘{bound}’"), found)
                }
            };
            match found {
                None => return Err(ReferenceError::NoRef { name, commit }),
                Some(other) if other != commit => {
                    return Err(ReferenceError::OtherCommit { name, commit });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}
