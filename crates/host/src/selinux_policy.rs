//! The policy of SELinux in images of composefs: a soft reboot keeps the one that is loaded.

use std::collections::BTreeMap;
use std::convert::Infallible;

use composefs::Store;
use composefs_format::{Attributes, Digest, File, ImageTree, read_image};

/// Where a policy is; images that were made of a commit of OSTree have their `/etc` in `/usr`.
const PLACES: [&str; 2] = ["etc/selinux", "usr/etc/selinux"];

/// Whether two images have the same policy; not of images that cannot be read.
pub(crate) fn same_policy(store: &Store, one: &Digest, other: &Digest) -> bool {
    let (one, other) = (policy(store, one), policy(store, other));
    one.is_some() && one == other
}

/// The files of a policy by their paths, without times and owners.
fn policy(store: &Store, id: &Digest) -> Option<BTreeMap<Vec<u8>, File>> {
    let (tree, _) = read_image(&store.read_object(id).ok()?).ok()?;
    let mut files = BTreeMap::new();
    for place in PLACES {
        add_files(&tree, place, &mut files);
    }
    Some(files)
}

fn add_files(tree: &ImageTree, place: &str, files: &mut BTreeMap<Vec<u8>, File>) {
    let found = tree.get(place.split('/').map(str::as_bytes));
    let Some(found) = found.and_then(tree::Node::as_dir) else {
        return;
    };
    let Ok(()) = found.try_for_each_leaf(&mut |path, file: &File| {
        files.insert(path.to_owned(), content_of(file));
        Ok::<(), Infallible>(())
    });
}

fn content_of(file: &File) -> File {
    let none = Attributes::default;
    match file {
        File::Empty(_) => File::Empty(none()),
        File::Inline(_, content) => File::Inline(none(), content.clone()),
        File::Symlink(_, target) => File::Symlink(none(), target.clone()),
        File::Special(_, special) => File::Special(none(), *special),
        File::Linked(file) => content_of(file),
        File::External {
            size,
            object,
            digest,
            ..
        } => File::External {
            attributes: none(),
            size: *size,
            object: object.clone(),
            digest: *digest,
        },
    }
}
