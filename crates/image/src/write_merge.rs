//! The last step of a pull: the merge commit and the refs.

use file_contexts::Policy;
use ostree::{Expect, TransactionOptions, Tree, WriteError};
use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Commit, Metadata};
use progress::{Task, TaskKind};

use crate::ImportError;
use crate::import::Import;
use crate::keys::{META_CONFIG, META_MANIFEST, META_MANIFEST_DIGEST};
use crate::labels::policy_of;
use crate::layout::LayerRole;
use crate::merge::merge;
use crate::refs::{ref_for_digest, ref_for_image};
use crate::relabel::relabel;
use crate::stored_layer::StoredLayer;

impl Import<'_> {
    /// The layers above the base, with their trees.
    fn derived_layers(&mut self) -> Result<Vec<(usize, StoredLayer)>, ImportError> {
        let mut layers = Vec::new();
        for (index, layer) in self.plan.layers.iter().enumerate() {
            if layer.role != LayerRole::Derived {
                continue;
            }
            let stored = match self.done.trees.remove(&index) {
                Some(tree) => tree,
                None => {
                    let commit = self.done.commits[index].ok_or(ImportError::Planless)?;
                    StoredLayer::load(self.fetcher.repo, &commit)?
                }
            };
            layers.push((index, stored));
        }
        Ok(layers)
    }

    pub(crate) fn write_merge(&mut self, base: Option<Tree>) -> Result<Checksum, ImportError> {
        let (repo, progress) = (self.fetcher.repo, self.fetcher.progress);
        let task = Task::begin(
            progress,
            TaskKind::Merge,
            Some(self.plan.layers.len() as u64),
        );
        let parent = base
            .as_ref()
            .and(self.done.commits.first().copied().flatten());
        let layers = self.derived_layers()?;
        let digests = |index: usize| &self.plan.layers[index].digest;
        let numbered = layers
            .iter()
            .map(|(index, stored)| (digests(*index), stored.clone()));
        let mut merged = merge(repo, base, numbered)?;
        let txn = repo.begin(TransactionOptions::default())?;
        if !layers.is_empty()
            && let Some(policy) = policy_of(repo, &merged)?
        {
            self.relabel(&txn, &policy, &mut merged, layers)?;
        }
        let contents = txn.write_tree(&merged)?;
        let commit = txn.write_commit(&self.merge_commit(parent, contents, merged.meta))?;
        self.set_refs(&txn, commit)?;
        let stats = txn.commit(progress, self.fetcher.interrupt)?;
        self.done.stats.add(&stats);
        task.done();
        Ok(commit)
    }

    /// Label the merged tree by its own policy, and the layers with it, so that they share objects.
    fn relabel(
        &self,
        txn: &ostree::Transaction<'_>,
        policy: &Policy,
        merged: &mut Tree,
        mut layers: Vec<(usize, StoredLayer)>,
    ) -> Result<(), ImportError> {
        let mut trees = vec![merged];
        trees.extend(layers.iter_mut().map(|(_, stored)| &mut stored.tree));
        relabel(
            txn,
            policy,
            &mut trees,
            self.fetcher.progress,
            self.fetcher.interrupt,
        )?;
        for (index, stored) in layers {
            let commit = stored.write(txn)?;
            let refspec = Refspec::local(ref_for_digest(&self.plan.layers[index].digest)?);
            txn.set_ref(refspec, Expect::Any, Some(commit));
        }
        Ok(())
    }

    fn merge_commit(&self, parent: Option<Checksum>, contents: Checksum, meta: Checksum) -> Commit {
        // In the order of the existing importer, which sorts them.
        let mut metadata = Metadata::new();
        metadata.insert(META_CONFIG, self.plan.config.canonical());
        metadata.insert(META_MANIFEST, self.plan.manifest.canonical());
        metadata.insert(
            META_MANIFEST_DIGEST,
            self.plan.manifest.digest().to_string(),
        );
        Commit {
            metadata,
            parent,
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: self.timestamp(),
            contents,
            meta,
        }
    }

    /// When the image was created, by its manifest or its config.
    fn timestamp(&self) -> u64 {
        let annotations = self.plan.manifest.manifest().annotations().as_ref();
        annotations
            .and_then(|annotations| annotations.get("org.opencontainers.image.created"))
            .or(self.plan.config.config().created().as_ref())
            .and_then(|time| chrono::DateTime::parse_from_rfc3339(time).ok())
            .and_then(|time| u64::try_from(time.timestamp()).ok())
            .unwrap_or(self.options.now)
    }

    fn set_refs(&self, txn: &ostree::Transaction<'_>, commit: Checksum) -> Result<(), ImportError> {
        // Layers that were found under another digest get a ref of their own.
        for (layer, stored) in self.plan.layers.iter().zip(&self.done.commits) {
            let refspec = Refspec::local(ref_for_digest(&layer.digest)?);
            let present = self
                .fetcher
                .repo
                .read_ref(&refspec)
                .map_err(WriteError::from)?;
            if present.is_none() {
                txn.set_ref(refspec, Expect::Any, *stored);
            }
        }
        if !self.options.no_imgref {
            let refspec = Refspec::local(ref_for_image(&self.plan.stored_as)?);
            txn.set_ref(refspec, Expect::Any, Some(commit));
        }
        Ok(())
    }
}
