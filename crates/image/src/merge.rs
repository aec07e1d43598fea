//! The tree of a whole image, computed in memory.

use error_class::{Classified, ErrorClass};
use layer::DeferredLink;
use oci::digest::Digest;
use ostree::{ReadError, Repo, Tree};
use ostree_format::{Checksum, ObjectKind, ObjectName};
use tree::{Name, Node};

use crate::stored_layer::StoredLayer;

/// Files that container builders leave behind, empty, and that must not hide the system's own.
const BUILD_LEFTOVERS: [&str; 2] = ["usr/etc/hostname", "usr/etc/resolv.conf"];

/// Why layers do not give a tree.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// A hard link names a file that no layer has.
    #[error(
        "layer {digest}: {path:?} is a hard link to {target:?}, which is neither in this layer nor in one below it"
    )]
    DanglingLink {
        /// The layer.
        digest: Digest,
        /// Where the link is.
        path: String,
        /// What it names.
        target: String,
    },
    /// The image has no layers.
    #[error("the image has no layers")]
    NoLayers,
    /// An object cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Classified for MergeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::DanglingLink { .. } | Self::NoLayers => ErrorClass::InvalidInput,
            Self::Read(error) => error.class(),
        }
    }
}

/// Lay `layers` over `base`, first to last.
pub(crate) fn merge<'a>(
    repo: &Repo,
    base: Option<Tree>,
    layers: impl IntoIterator<Item = (&'a Digest, StoredLayer)>,
) -> Result<Tree, MergeError> {
    let mut merged = base;
    for (digest, mut layer) in layers {
        for link in std::mem::take(&mut layer.deferred) {
            resolve(repo, merged.as_ref(), &mut layer.tree, digest, &link)?;
        }
        match &mut merged {
            Some(below) => below.overlay(layer.tree),
            None => merged = Some(layer.tree.without_whiteouts()),
        }
    }
    let mut merged = merged.ok_or(MergeError::NoLayers)?;
    remove_leftovers(repo, &mut merged)?;
    Ok(merged)
}

/// Put the file that a hard link names into the layer that has the link.
fn resolve(
    repo: &Repo,
    below: Option<&Tree>,
    layer: &mut Tree,
    digest: &Digest,
    link: &DeferredLink,
) -> Result<(), MergeError> {
    let target = match link.target_object() {
        Some(object) => {
            let name = ObjectName::new(object, ObjectKind::File);
            let stored = repo.has_object(&name).map_err(ReadError::from)?;
            stored.then_some(object)
        }
        None => below
            .and_then(|below| below.get(link.target.split('/').map(str::as_bytes)))
            .and_then(Node::as_leaf)
            .copied(),
    };
    let dangling = || MergeError::DanglingLink {
        digest: digest.clone(),
        path: link.path.clone(),
        target: link.target.clone(),
    };
    let target: Checksum = target.ok_or_else(dangling)?;
    let (parent, name) = link.path.rsplit_once('/').unwrap_or(("", &link.path));
    let parent = parent
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::as_bytes);
    let name = Name::new(name.as_bytes()).map_err(|_| dangling())?;
    let dir = layer.dir_mut(parent).ok_or_else(dangling)?;
    // An entry of the archive that came after the link goes before it.
    dir.children.entry(name).or_insert(Node::Leaf(target));
    Ok(())
}

fn remove_leftovers(repo: &Repo, root: &mut Tree) -> Result<(), ReadError> {
    for path in BUILD_LEFTOVERS {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(dir) = root.dir_mut(parent.split('/').map(str::as_bytes)) else {
            continue;
        };
        let Some(Node::Leaf(checksum)) = dir.children.get(name.as_bytes()) else {
            continue;
        };
        let file = repo.open_file(checksum)?;
        if !file.header.is_symlink() && file.size == 0 {
            dir.children.remove(name.as_bytes());
        }
    }
    Ok(())
}
