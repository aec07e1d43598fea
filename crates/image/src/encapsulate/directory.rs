//! From a root directory to an image, without a repository.
//!
//! The commit in the image is the one that a commit of the directory would have given. Files are read
//! twice, to know their names and to write them, and never copied.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use error_class::{Classified, ErrorClass};
use file_contexts::xattr_value;
use ostree::{CommitDirError, CommitDirOptions, DirectoryScan, Tree};
use ostree_format::gvariant::Value;
use ostree_format::{Commit, Metadata, ObjectKind};
use progress::{Interrupt, Progress};
use tree::{Name, Node};

use oci::sink::ImageSink;

use super::{EncapsulateError, EncapsulateOptions, Writing, labels, write};
use crate::keys::BOOTABLE_LABEL;
use crate::labels::{PolicyError, policy_of_directory};
use crate::write_image::WrittenImage;

/// Where kernels are, one directory for each version.
const MODULES: [&[u8]; 3] = [b"usr", b"lib", b"modules"];

/// What is committed, besides the files.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DirectoryCommit {
    /// The subject.
    pub subject: String,
    /// The time, in seconds since 1970.
    pub timestamp: u64,
    /// The metadata, to which what a kernel in the tree demands is added.
    pub metadata: Metadata,
    /// What is left out: paths with a leading slash.
    pub skip: BTreeSet<PathBuf>,
}

/// Why a directory did not become an image. The destination shows none, though blobs may stay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncapsulateDirectoryError {
    /// The directory cannot be read, or holds what OSTree cannot.
    #[error(transparent)]
    Directory(#[from] CommitDirError),
    /// The SELinux policy in it cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There are two places for configuration.
    #[error(
        "the directory has files in both /etc and /usr/etc; leave one of them out, or move all to /usr/etc"
    )]
    TwoEtc,
    /// The image could not be made.
    #[error(transparent)]
    Encapsulate(#[from] EncapsulateError),
}

impl Classified for EncapsulateDirectoryError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Directory(error) => error.class(),
            Self::Policy(error) => error.class(),
            Self::TwoEtc => ErrorClass::InvalidInput,
            Self::Encapsulate(error) => error.class(),
        }
    }
}

/// Write the directory `root` as an image to `sink`, under `tag` if there is one. What is in `/etc` is in
/// `/usr/etc` of the commit; labels are those of the SELinux policy in the directory, if it has one.
///
/// # Errors
/// [`EncapsulateDirectoryError`].
pub fn encapsulate_directory(
    root: OwnedFd,
    commit: &DirectoryCommit,
    sink: Box<dyn ImageSink + '_>,
    tag: Option<&str>,
    options: &EncapsulateOptions,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<WrittenImage, EncapsulateDirectoryError> {
    let policy = policy_of_directory(root.as_fd())?;
    let label = |path: &Path, mode: u32| {
        let path = in_commit(path);
        let label = policy
            .as_ref()?
            .commit_label(path.as_os_str().as_encoded_bytes(), mode)?;
        Some(xattr_value(label))
    };
    let mut choices = CommitDirOptions::default();
    choices.skip.clone_from(&commit.skip);
    choices.label = policy.is_some().then_some(&label);
    let mut scan = DirectoryScan::new(root, &choices, progress, interrupt)?;
    move_etc(&mut scan.tree)?;
    let metadata = metadata_of(&scan.tree, commit);
    let meta = scan.tree.meta;
    let (mut objects, contents) = scan.into_objects()?;
    let commit = Commit {
        metadata,
        parent: None,
        related: Vec::new(),
        subject: commit.subject.clone(),
        body: String::new(),
        timestamp: commit.timestamp,
        contents,
        meta,
    };
    let checksum = objects.add_metadata(ObjectKind::Commit, commit.to_bytes());
    let writing = Writing {
        sink,
        tag,
        progress,
        interrupt,
    };
    Ok(write(&objects, &checksum, options, writing)?)
}

/// A path of the directory as the commit has it.
fn in_commit(path: &Path) -> PathBuf {
    match path.strip_prefix("/etc") {
        Ok(below) => Path::new("/usr/etc").join(below),
        Err(_) => path.to_owned(),
    }
}

/// Commits have the configuration that a system starts with in `/usr/etc`.
fn move_etc(root: &mut Tree) -> Result<(), EncapsulateDirectoryError> {
    let Some(Node::Dir(etc)) = root.children.get(b"etc".as_slice()) else {
        return Ok(());
    };
    let is_empty = etc.children.is_empty();
    let Some(usr) = root.dir_mut([b"usr".as_slice()]) else {
        return Ok(());
    };
    if usr.children.contains_key(b"etc".as_slice()) {
        if !is_empty {
            return Err(EncapsulateDirectoryError::TwoEtc);
        }
        root.children.remove(b"etc".as_slice());
        return Ok(());
    }
    let etc = root.children.remove(b"etc".as_slice());
    if let (Some(etc), Some(usr), Ok(name)) =
        (etc, root.dir_mut([b"usr".as_slice()]), Name::new(b"etc"))
    {
        usr.children.insert(name, etc);
    }
    Ok(())
}

/// With a kernel in the tree, the commit says that it boots, and what.
fn metadata_of(root: &Tree, commit: &DirectoryCommit) -> Metadata {
    let mut metadata = commit.metadata.clone();
    let Some(Node::Dir(modules)) = root.get(MODULES) else {
        return metadata;
    };
    let mut kernels = modules.children.iter().filter(|(_, node)| {
        matches!(node, Node::Dir(dir) if dir.children.contains_key(b"vmlinuz".as_slice()))
    });
    if let (Some((name, _)), None) = (kernels.next(), kernels.next())
        && let Some(release) = name.to_str()
    {
        metadata.insert(BOOTABLE_LABEL, Value::Bool(true));
        metadata.insert(labels::META_LINUX, Value::Str(release.to_owned()));
    }
    metadata
}
