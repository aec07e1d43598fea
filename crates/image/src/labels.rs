//! The SELinux policy that a tree carries.

use std::io::Read as _;

use error_class::{Classified, ErrorClass};
use file_contexts::{Config, ConfigError, FileContextSources, ParseError, Policy};
use ostree::{ReadError, Repo, Tree};
use tree::Node;

/// Largest policy file that is read.
const MAX_POLICY_FILE: u64 = 64 * 1024 * 1024;

/// Why the policy of an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The configuration is malformed.
    #[error("the image's usr/etc/selinux/config is malformed: {0}")]
    Config(#[from] ConfigError),
    /// The file contexts are malformed.
    #[error("the image's SELinux policy is malformed: {0}")]
    Contexts(#[from] ParseError),
    /// A file cannot be read.
    #[error("cannot read {path} of the image: {source}")]
    Read {
        /// The path in the image.
        path: String,
        /// Why.
        source: ReadError,
    },
}

impl Classified for PolicyError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Config(_) | Self::Contexts(_) => ErrorClass::InvalidInput,
            Self::Read { source, .. } => source.class(),
        }
    }
}

/// The policy that `root` says its files are labelled by, if any.
pub(crate) fn policy_of(repo: &Repo, root: &Tree) -> Result<Option<Policy>, PolicyError> {
    let Some(config) = read(repo, root, Config::PATH)? else {
        return Ok(None);
    };
    let Some(files) = Config::parse(&config)?.policy_files() else {
        return Ok(None);
    };
    let Some(file_contexts) = read(repo, root, &files.file_contexts)? else {
        return Ok(None);
    };
    let homedirs = read(repo, root, &files.homedirs)?;
    let local = read(repo, root, &files.local)?;
    let subs = read(repo, root, &files.subs)?;
    let subs_dist = read(repo, root, &files.subs_dist)?;
    let policy = Policy::parse(FileContextSources {
        file_contexts: &file_contexts,
        homedirs: homedirs.as_deref(),
        local: local.as_deref(),
        subs: subs.as_deref(),
        subs_dist: subs_dist.as_deref(),
    })?;
    Ok(Some(policy))
}

/// The content of the file at `path`, if there is one.
pub(crate) fn read(repo: &Repo, root: &Tree, path: &str) -> Result<Option<Vec<u8>>, PolicyError> {
    let Some(Node::Leaf(checksum)) = root.get(path.split('/').map(str::as_bytes)) else {
        return Ok(None);
    };
    let failed = |source| PolicyError::Read {
        path: path.to_owned(),
        source,
    };
    let object = repo.open_file(checksum).map_err(failed)?;
    let mut bytes = Vec::new();
    object
        .content
        .take(MAX_POLICY_FILE)
        .read_to_end(&mut bytes)
        .map_err(|_| {
            failed(ReadError::BadContent {
                name: ostree_format::ObjectName::new(*checksum, ostree_format::ObjectKind::File),
                reason: "its content cannot be read to the end",
            })
        })?;
    Ok(Some(bytes))
}
