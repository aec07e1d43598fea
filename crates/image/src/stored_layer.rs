//! How a layer lies in the repository: a commit of its own.

use layer::DeferredLink;
use ostree::{ReadError, Repo, Transaction, Tree, WriteError};
use ostree_format::{Checksum, Commit, DirMeta, DirTree, Metadata};

use crate::keys::META_DEFERRED_LINKS;

/// A layer of a file tree, in memory.
#[derive(Debug, Clone)]
pub(crate) struct StoredLayer {
    /// The tree, whiteouts included.
    pub(crate) tree: Tree,
    /// Hard links to files of earlier layers.
    pub(crate) deferred: Vec<DeferredLink>,
}

impl StoredLayer {
    /// Read a layer back.
    pub(crate) fn load(repo: &Repo, commit: &Checksum) -> Result<Self, ReadError> {
        let commit = repo.load_commit(commit)?;
        let links = commit.metadata.get(META_DEFERRED_LINKS);
        Ok(Self {
            tree: repo.load_tree(&commit.contents, &commit.meta)?,
            deferred: links
                .and_then(DeferredLink::list_from_value)
                .unwrap_or_default(),
        })
    }

    /// Write the layer's commit. It depends on nothing but the layer, so pulling it again, here or
    /// elsewhere, gives the same.
    pub(crate) fn write(&self, txn: &Transaction<'_>) -> Result<Checksum, WriteError> {
        let mut metadata = Metadata::new();
        if !self.deferred.is_empty() {
            metadata.insert(
                META_DEFERRED_LINKS,
                DeferredLink::list_to_value(&self.deferred),
            );
        }
        let contents = txn.write_tree(&self.tree)?;
        txn.write_commit(&layer_commit(metadata, contents, self.tree.meta))
    }
}

/// Write the commit of a set of content objects: a directory in which every object bears its own name.
pub(crate) fn write_object_set<'a>(
    txn: &Transaction<'_>,
    objects: impl IntoIterator<Item = &'a Checksum>,
) -> Result<Checksum, WriteError> {
    let mut tree = DirTree::default();
    tree.files.extend(
        objects
            .into_iter()
            .map(|object| (object.to_string(), *object)),
    );
    let contents = txn.write_dirtree(&tree)?;
    let meta = txn.write_dirmeta(&DirMeta::root_owned(0o755))?;
    txn.write_commit(&layer_commit(Metadata::new(), contents, meta))
}

fn layer_commit(metadata: Metadata, contents: Checksum, meta: Checksum) -> Commit {
    Commit {
        metadata,
        parent: None,
        related: Vec::new(),
        subject: String::new(),
        body: String::new(),
        timestamp: 0,
        contents,
        meta,
    }
}
