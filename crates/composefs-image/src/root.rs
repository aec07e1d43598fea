//! The root that the layers of an image make together.

use std::collections::HashMap;
use std::sync::Arc;

use composefs::Store;
use composefs_format::{Attributes, Digest, File, ImageTree, Timestamp};
use tree::{Dir, Node};

use crate::ImageError;
use crate::layer_tree::lay_over;
use crate::splitter::LAYER;

/// What survives of the extended attributes: the others belong to the machine that built the image.
const KEPT: &[u8] = b"security.capability";

/// The root that the layers in these streams make, lowest first, as composefs-rs makes it: the root directory has
/// the attributes of `/usr`, `/run` is empty, and of extended attributes only capabilities are kept.
///
/// # Errors
/// [`ImageError`].
pub fn root_of(store: &Store, layers: &[Digest]) -> Result<ImageTree, ImageError> {
    let mut root = Dir::new(Attributes::default());
    for digest in layers {
        let stream = store.stream(digest)?;
        if stream.content != LAYER {
            let reason = "it is no layer of files";
            return Err(ImageError::Archive(reason.to_owned()));
        }
        lay_over(&mut root, &stream)?;
    }
    let usr = usr_of(&root)?.clone();
    empty(&mut root, b"run", usr.mtime);
    root.meta = usr;
    for_each_attributes(&mut root, &mut |attributes| {
        attributes.xattrs.retain(|(name, _)| name == KEPT);
    });
    Ok(root)
}

pub(crate) fn usr_of(root: &ImageTree) -> Result<&Attributes, ImageError> {
    let usr = root.get([b"usr".as_slice()]).and_then(Node::as_dir);
    Ok(&usr.ok_or(ImageError::NoDirectory("usr"))?.meta)
}

/// Empties a directory of the root and sets its time; whether there is one.
pub(crate) fn empty(root: &mut ImageTree, name: &[u8], mtime: Timestamp) -> bool {
    let Some(Node::Dir(dir)) = root.children.get_mut(name) else {
        return false;
    };
    dir.children.clear();
    dir.meta.mtime = mtime;
    true
}

/// Change the attributes of everything, of a file with several names once.
fn for_each_attributes(dir: &mut ImageTree, change: &mut impl FnMut(&mut Attributes)) {
    change(&mut dir.meta);
    let mut links = Links::default();
    change_below(dir, change, &mut links);
}

/// Files with several names before and after they were changed.
type Links = HashMap<usize, Arc<File>>;

fn change_below(dir: &mut ImageTree, change: &mut impl FnMut(&mut Attributes), links: &mut Links) {
    for node in dir.children.values_mut() {
        match node {
            Node::Dir(below) => {
                change(&mut below.meta);
                change_below(below, change, links);
            }
            Node::Leaf(File::Linked(file)) => {
                let changed = links.entry(Arc::as_ptr(file).addr()).or_insert_with(|| {
                    let mut changed = File::clone(file);
                    change(attributes_mut(&mut changed));
                    Arc::new(changed)
                });
                *file = Arc::clone(changed);
            }
            Node::Leaf(file) => change(attributes_mut(file)),
        }
    }
}

pub(crate) fn attributes_mut(file: &mut File) -> &mut Attributes {
    match file {
        File::Empty(attributes)
        | File::External { attributes, .. }
        | File::Inline(attributes, _)
        | File::Symlink(attributes, _)
        | File::Special(attributes, _) => attributes,
        File::Linked(file) => attributes_mut(Arc::make_mut(file)),
    }
}
