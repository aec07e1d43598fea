//! What a commit says about itself.

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{COMPOSEFS_DIGEST_KEY, Repo, Transaction, Tree};
use ostree_format::gvariant::{TextError, Type, Value};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Metadata};
use tree::{Dir, Node};

use crate::context::Context;

const REF_BINDING: &str = "ostree.ref-binding";
const COLLECTION_BINDING: &str = "ostree.collection-binding";

/// What a commit says about itself.
#[derive(Debug, Args)]
pub(super) struct About {
    /// Do not note in the commit which ref it is for
    #[arg(long, conflicts_with = "bind_ref")]
    no_bindings: bool,
    /// Add a ref to those that the commit says it belongs to
    #[arg(long, value_name = "BRANCH")]
    bind_ref: Vec<String>,
    /// Metadata of the commit, as a string; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    add_metadata_string: Vec<String>,
    /// Add a key/value pair to metadata; the value is in GVariant's text form
    #[arg(long, value_name = "KEY=VALUE")]
    add_metadata: Vec<String>,
    /// Metadata beside the commit, as a string; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    add_detached_metadata_string: Vec<String>,
    /// Keep metadata KEY and its value from the parent
    #[arg(long, value_name = "KEY")]
    keep_metadata: Vec<String>,
    /// Say that the commit can be booted, and the version of its kernel
    #[arg(long)]
    bootable: bool,
    /// Say which digest the image for composefs has, so that it can be verified at boot
    #[arg(long)]
    generate_composefs_metadata: bool,
}

/// Why the metadata could not be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::verbs::ostree) enum MetadataError {
    #[error("Missing '=' in KEY=VALUE metadata '{0}'")]
    NoValue(String),
    #[error("Empty metadata key")]
    EmptyKey,
    #[error("Parsing {0}: {1}")]
    Value(String, TextError),
    #[error("cannot keep metadata: the commit has no parent")]
    NoParent,
    #[error("Missing metadata key '{key}' from commit {commit}")]
    NotKept { key: String, commit: Checksum },
    #[error("No kernel found: usr/lib/modules/VERSION/vmlinuz: No such file or directory")]
    NoKernel,
}

impl Classified for MetadataError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoValue(_) | Self::EmptyKey | Self::Value(..) | Self::NoParent => {
                ErrorClass::InvalidInput
            }
            Self::NotKept { .. } | Self::NoKernel => ErrorClass::NotFound,
        }
    }
}

impl About {
    pub(super) fn metadata(
        &self,
        repo: &Repo,
        branch: Option<&Refspec>,
        parent: Option<Checksum>,
        tree: &Tree,
    ) -> Result<Metadata, crate::outcome::Failure> {
        let mut metadata = Metadata::new();
        for pair in &self.add_metadata_string {
            let (key, value) = split(pair)?;
            metadata.insert(key, value);
        }
        for pair in &self.add_metadata {
            let (key, value) = parsed(pair)?;
            metadata.insert(key, value);
        }
        if metadata.get("").is_some() {
            return Err(MetadataError::EmptyKey.into());
        }
        self.keep(repo, parent, &mut metadata)?;
        if self.bootable {
            let kernel = kernel_version(tree).ok_or(MetadataError::NoKernel)?;
            metadata.insert("ostree.bootable", Value::Bool(true));
            metadata.insert("ostree.linux", kernel.as_str());
            metadata = super::glib_order::reorder(&metadata);
        }
        if !self.no_bindings {
            self.bind(repo, branch, &mut metadata);
        }
        Ok(metadata)
    }

    /// Adds the digest of the tree's image, where that is asked for.
    pub(super) fn add_digest(
        &self,
        context: &Context,
        (transaction, tree): (&Transaction<'_>, &Tree),
        metadata: &mut Metadata,
    ) -> Result<(), crate::outcome::Failure> {
        if self.generate_composefs_metadata {
            let (progress, interrupt) = (context.progress(), context.interrupt());
            let digest = transaction.composefs_digest(tree, progress, interrupt)?;
            let bytes = digest.as_bytes().to_vec();
            metadata.insert(COMPOSEFS_DIGEST_KEY, Value::Bytes(bytes));
            *metadata = super::glib_order::reorder(metadata);
        }
        Ok(())
    }

    /// What is said about the commit beside it.
    pub(super) fn detached(&self) -> Result<Metadata, MetadataError> {
        let pairs = self.add_detached_metadata_string.iter();
        pairs
            .map(|pair| split(pair).map(|(key, value)| (key, Value::from(value))))
            .collect()
    }

    fn keep(
        &self,
        repo: &Repo,
        parent: Option<Checksum>,
        metadata: &mut Metadata,
    ) -> Result<(), crate::outcome::Failure> {
        for key in &self.keep_metadata {
            let commit = parent.ok_or(MetadataError::NoParent)?;
            let kept = repo.load_commit(&commit)?.metadata;
            let value = kept.get(key).ok_or_else(|| MetadataError::NotKept {
                key: key.clone(),
                commit,
            })?;
            metadata.insert(key, value.clone());
        }
        Ok(())
    }

    fn bind(&self, repo: &Repo, branch: Option<&Refspec>, metadata: &mut Metadata) {
        let branch = branch.map(|branch| branch.name.to_string());
        let mut names: Vec<String> = self.bind_ref.iter().cloned().chain(branch).collect();
        names.sort();
        names.dedup();
        let names = names.iter().map(|name| Value::from(name.as_str()));
        metadata.insert(REF_BINDING, Value::Array(Type::Str, names.collect()));
        let own = repo.collection_id();
        if let Some(id) = own.filter(|_| metadata.get(COLLECTION_BINDING).is_none()) {
            metadata.insert(COLLECTION_BINDING, id.as_str());
        }
    }
}

fn split(pair: &str) -> Result<(&str, &str), MetadataError> {
    let no_value = || MetadataError::NoValue(pair.to_owned());
    pair.split_once('=').ok_or_else(no_value)
}

/// A key and a value in GVariant's text form.
pub(in crate::verbs::ostree) fn parsed(pair: &str) -> Result<(&str, Value), MetadataError> {
    let (key, text) = split(pair)?;
    let value = Value::from_text(text);
    let value = value.map_err(|error| MetadataError::Value(pair.to_owned(), error))?;
    Ok((key, value))
}

/// The name of the directory of modules that has a kernel.
fn kernel_version(tree: &Tree) -> Option<String> {
    let modules = ["usr", "lib", "modules"]
        .iter()
        .try_fold(tree, |dir, name| child(dir, name.as_bytes()))?;
    modules.children.iter().find_map(|(name, node)| match node {
        Node::Dir(dir) if dir.children.contains_key(b"vmlinuz".as_slice()) => {
            name.to_str().map(str::to_owned)
        }
        _ => None,
    })
}

fn child<'t>(dir: &'t Tree, name: &[u8]) -> Option<&'t Dir<Checksum, Checksum>> {
    match dir.children.get(name) {
        Some(Node::Dir(below)) => Some(below),
        _ => None,
    }
}
