//! Refs of collections: those of the repository's own collection, of remotes that have one, and mirrors.

use std::fmt;

use ostree_format::Checksum;
use ostree_format::refs::{RefName, Refspec};

use crate::refs::RefOwner;
use crate::{Expect, RefEdit, RefError, Repo, WriteError};

/// The name of a ref all over the world: that of its collection, and its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CollectionRef {
    /// The collection.
    pub collection: String,
    /// The ref.
    pub name: RefName,
}

impl fmt::Display for CollectionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.collection, self.name)
    }
}

/// Where mirrored refs stand below the repository.
pub(crate) fn mirror_path(reference: &CollectionRef) -> String {
    format!("refs/mirrors/{}/{}", reference.collection, reference.name)
}

impl Repo {
    /// The collection that this repository's own refs belong to (`core.collection-id`).
    #[must_use]
    pub fn collection_id(&self) -> Option<String> {
        self.config().file.get("core", "collection-id")
    }

    /// Refs that belong to a collection, sorted; those of remotes only when asked for.
    ///
    /// # Errors
    /// The first ref that cannot be read.
    pub fn list_collection_refs(
        &self,
        with_remotes: bool,
    ) -> Result<Vec<(CollectionRef, Checksum)>, RefError> {
        let mut refs = Vec::new();
        for found in self.ref_files()? {
            let collection = match &found.owner {
                RefOwner::Local => self.collection_id(),
                RefOwner::Mirror(collection) => Some(collection.clone()),
                RefOwner::Remote(remote) if with_remotes => self.collection_of(remote),
                RefOwner::Remote(_) => None,
            };
            let Some(collection) = collection else {
                continue;
            };
            let name = found.name;
            let commit = found.commit?;
            refs.extend(commit.map(|commit| (CollectionRef { collection, name }, commit)));
        }
        refs.sort();
        Ok(refs)
    }

    /// The collection that a remote's refs belong to.
    fn collection_of(&self, remote: &str) -> Option<String> {
        let remote = self.remote(remote)?;
        remote.get("collection-id").map(ToOwned::to_owned)
    }

    /// The commit that a ref of a collection names here.
    ///
    /// # Errors
    /// [`RefError::Damaged`] when it holds something else.
    pub fn read_collection_ref(
        &self,
        reference: &CollectionRef,
    ) -> Result<Option<Checksum>, RefError> {
        if self.is_own(reference) {
            return self.read_ref(&Refspec::local(reference.name.clone()));
        }
        self.read_ref_file(&mirror_path(reference), || reference.to_string())
    }

    /// Let a ref of a collection hold `commit`, or nothing: a mirror, unless the collection is that of the
    /// repository itself.
    ///
    /// # Errors
    /// [`WriteError`]; the old ref is untouched then.
    pub fn set_collection_ref(
        &self,
        reference: &CollectionRef,
        commit: Option<Checksum>,
    ) -> Result<(), WriteError> {
        if self.is_own(reference) {
            let name = Refspec::local(reference.name.clone());
            let expect = Expect::Any;
            return self.edit_refs(&[RefEdit {
                name,
                expect,
                commit,
            }]);
        }
        self.write_mirror(reference, commit.as_ref())
    }

    fn is_own(&self, reference: &CollectionRef) -> bool {
        self.collection_id().as_ref() == Some(&reference.collection)
    }
}
