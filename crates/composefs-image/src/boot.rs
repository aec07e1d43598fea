//! The root of an image as it is booted.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use composefs::{Store, StoreError};
use composefs_format::{Attributes, File, ImageTree, Special};
use file_contexts::{ConfigError, ParseError, Policy, SELINUX_XATTR};
use tree::Node;

use crate::root::{attributes_mut, empty, root_of, usr_of};
use crate::{ImageError, StoredImage};

/// Directories that every root has, but whose content in the image is not for the running system.
const EMPTIED: [&str; 2] = ["boot", "sysroot"];

/// Largest file of a policy that is read.
const MAX_POLICY_FILE: u64 = 64 * 1024 * 1024;

/// Makes a root what is booted, as composefs-rs does it: `/boot` and `/sysroot` are empty, and everything has the
/// labels of the SELinux policy in the root, if there is one.
pub(crate) fn make_bootable(store: &Store, root: &mut ImageTree) -> Result<(), ImageError> {
    let mtime = usr_of(root)?.mtime;
    for name in EMPTIED {
        if !empty(root, name.as_bytes(), mtime) {
            return Err(ImageError::NoDirectory(name));
        }
    }
    if let Some(policy) = policy_of(store, root)? {
        let mut labels = Labels {
            policy,
            given: HashMap::new(),
        };
        labels.set(&mut root.meta, b"/", 0o040_000);
        labels.label(root, &mut Vec::new());
    }
    Ok(())
}

/// Why there are no labels.
#[derive(Debug, thiserror::Error)]
enum PolicyProblem {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Contexts(#[from] ParseError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0} is too large or cannot be read")]
    File(String),
}

/// The policy that a stored image has in its root, if any.
///
/// # Errors
/// [`ImageError`].
pub fn policy_of_image(store: &Store, image: &StoredImage) -> Result<Option<Policy>, ImageError> {
    let streams: Vec<_> = image.layers.iter().map(|(_, stream)| *stream).collect();
    policy_of(store, &root_of(store, &streams)?)
}

fn policy_of(store: &Store, root: &ImageTree) -> Result<Option<Policy>, ImageError> {
    let policy = Policy::of_tree(|path| {
        // Asked for where a commit has it.
        let path = path.strip_prefix("usr/").unwrap_or(path);
        read_file(store, root, path)
    });
    policy.map_err(|problem: PolicyProblem| match problem {
        PolicyProblem::Store(error) => error.into(),
        other => ImageError::Policy(other.to_string()),
    })
}

/// The content of a file of a root, if there is one.
fn read_file(
    store: &Store,
    root: &ImageTree,
    path: &str,
) -> Result<Option<Vec<u8>>, PolicyProblem> {
    let found = root.get(path.split('/').map(str::as_bytes));
    let file = match found.and_then(Node::as_leaf) {
        Some(File::Linked(file)) => file,
        Some(file) => file,
        None => return Ok(None),
    };
    match file {
        File::Empty(_) => Ok(Some(Vec::new())),
        File::Inline(_, content) => Ok(Some(content.clone())),
        File::External {
            digest: Some(digest),
            size,
            ..
        } if *size <= MAX_POLICY_FILE => {
            let mut content = Vec::new();
            let read = store
                .open_object(digest)?
                .take(MAX_POLICY_FILE)
                .read_to_end(&mut content);
            read.map_err(|_| PolicyProblem::File(path.to_owned()))?;
            Ok(Some(content))
        }
        File::External { .. } => Err(PolicyProblem::File(path.to_owned())),
        _ => Ok(None),
    }
}

struct Labels {
    policy: Policy,
    /// Files with several names: what they were labelled as, and what they are now.
    given: HashMap<usize, (Option<String>, Arc<File>)>,
}

impl Labels {
    fn label(&mut self, dir: &mut ImageTree, path: &mut Vec<u8>) {
        for (name, node) in &mut dir.children {
            let length = path.len();
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            match node {
                Node::Dir(below) => {
                    self.set(&mut below.meta, path, 0o040_000);
                    self.label(below, path);
                }
                Node::Leaf(file) => self.label_file(file, path),
            }
            path.truncate(length);
        }
    }

    /// A file with several names that have to have different labels becomes several files.
    fn label_file(&mut self, file: &mut File, path: &[u8]) {
        let mode = type_of(file);
        let File::Linked(linked) = file else {
            return self.set(attributes_mut(file), path, mode);
        };
        let label = self.policy.label(path, mode).map(str::to_owned);
        let identity = Arc::as_ptr(linked).addr();
        if let Some((given, labelled)) = self.given.get(&identity) {
            if *given == label {
                *file = File::Linked(Arc::clone(labelled));
                return;
            }
            let mut own = File::clone(linked);
            self.set(attributes_mut(&mut own), path, mode);
            *file = own;
            return;
        }
        let mut labelled = File::clone(linked);
        self.set(attributes_mut(&mut labelled), path, mode);
        let labelled = Arc::new(labelled);
        self.given.insert(identity, (label, Arc::clone(&labelled)));
        *file = File::Linked(labelled);
    }

    fn set(&self, attributes: &mut Attributes, path: &[u8], mode: u32) {
        let label = self.policy.label(path, mode);
        let name = SELINUX_XATTR;
        attributes.xattrs.retain(|(have, _)| have != name);
        if let Some(label) = label {
            let value = label.as_bytes().to_vec();
            attributes.xattrs.push((name.to_vec(), value));
        }
    }
}

/// The bits of a mode that say what a file is.
fn type_of(file: &File) -> u32 {
    match file {
        File::Empty(_) | File::Inline(..) | File::External { .. } => 0o100_000,
        File::Symlink(..) => 0o120_000,
        File::Special(_, Special::Character(_)) => 0o020_000,
        File::Special(_, Special::Block(_)) => 0o060_000,
        File::Special(_, Special::Fifo) => 0o010_000,
        File::Special(_, Special::Socket) => 0o140_000,
        File::Linked(file) => type_of(file),
    }
}
