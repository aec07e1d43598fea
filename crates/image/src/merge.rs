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
        resolve_all(repo, merged.as_ref(), &mut layer, digest)?;
        match &mut merged {
            Some(below) => below.overlay(layer.tree),
            None => merged = Some(layer.tree.without_whiteouts()),
        }
    }
    let mut merged = merged.ok_or(MergeError::NoLayers)?;
    remove_leftovers(repo, &mut merged)?;
    Ok(merged)
}

/// Put the files that hard links name into the layer that has the links, also through each other.
fn resolve_all(
    repo: &Repo,
    below: Option<&Tree>,
    layer: &mut StoredLayer,
    digest: &Digest,
) -> Result<(), MergeError> {
    let mut links = std::mem::take(&mut layer.deferred);
    while let Some(first) = links.first().cloned() {
        let before = links.len();
        let mut unresolved = Vec::new();
        for link in links {
            match target(repo, below, &layer.tree, &link)? {
                Some(object) => insert(&mut layer.tree, &link, object),
                None => unresolved.push(link),
            }
        }
        if unresolved.len() == before {
            return Err(MergeError::DanglingLink {
                digest: digest.clone(),
                path: first.path,
                target: first.target,
            });
        }
        links = unresolved;
    }
    Ok(())
}

/// The object that a link names: outright, by a link of the same layer, or by a file below.
fn target(
    repo: &Repo,
    below: Option<&Tree>,
    layer: &Tree,
    link: &DeferredLink,
) -> Result<Option<Checksum>, ReadError> {
    if let Some(object) = link.target_object() {
        let stored = repo.has_object(&ObjectName::new(object, ObjectKind::File))?;
        return Ok(stored.then_some(object));
    }
    let find = |tree: &Tree| {
        tree.get(link.target.split('/').map(str::as_bytes))
            .and_then(Node::as_leaf)
            .copied()
    };
    Ok(find(layer).or_else(|| below.and_then(find)))
}

/// An entry of the archive that came after the link goes before it.
fn insert(layer: &mut Tree, link: &DeferredLink, object: Checksum) {
    let (parent, name) = link.path.rsplit_once('/').unwrap_or(("", &link.path));
    let parent = parent
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::as_bytes);
    if let (Some(dir), Ok(name)) = (layer.dir_mut(parent), Name::new(name.as_bytes())) {
        dir.children.entry(name).or_insert(Node::Leaf(object));
    }
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
