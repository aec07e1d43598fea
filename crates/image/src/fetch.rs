//! Fetching one layer: from its blob to a commit.

use layer::{Companion, LayerBlob, LayerError, PathPolicy, Tap, TreeOptions};
use oci::source::{
    Error as SourceError, ImageSource, LayerBytes, LayerOrigin, LayerTask, fetch_layer,
};
use oci::spec::Descriptor;
use ostree::{Expect, Repo, Transaction, TransactionOptions};
use ostree_format::Checksum;
use ostree_format::refs::Refspec;
use progress::{Interrupt, Progress};

use crate::ImportError;
use crate::layout::LayerRole;
use crate::plan::LayerState;
use crate::refs::ref_for_digest;
use crate::stored_layer::{StoredLayer, write_object_set};

/// What all layers of one import share.
pub(crate) struct Fetcher<'a> {
    pub(crate) repo: &'a Repo,
    pub(crate) source: &'a dyn ImageSource,
    pub(crate) descriptors: &'a [Descriptor],
    pub(crate) progress: &'a dyn Progress,
    /// The user's wish to stop.
    pub(crate) interrupt: &'a Interrupt,
    /// Raised when another layer failed.
    pub(crate) stop: Interrupt,
    /// Another store that shall have the layers, too.
    pub(crate) companion: Option<&'a dyn Companion>,
}

/// A layer that was fetched.
pub(crate) struct Fetched {
    pub(crate) commit: Checksum,
    /// The tree of an ordinary layer, so that it need not be read back for the merge.
    pub(crate) tree: Option<StoredLayer>,
    /// Entries that were not kept, by top-level directory.
    pub(crate) filtered: std::collections::BTreeMap<String, u32>,
    pub(crate) stats: ostree::Stats,
    /// Where it came from.
    pub(crate) origin: LayerOrigin,
}

impl Fetcher<'_> {
    /// Fetch the layer and publish it. What an earlier try left of its blob may be damaged; then it is
    /// fetched anew.
    pub(crate) fn fetch(
        &self,
        index: usize,
        layer: &LayerState,
        paths: PathPolicy,
        policy: Option<&file_contexts::Policy>,
    ) -> Result<Fetched, ImportError> {
        let descriptor = self.descriptors.get(index).ok_or(ImportError::Planless)?;
        let tell = |text: &str| self.progress.note(text);
        let take_in = |bytes: LayerBytes<'_>| self.take_in(bytes, index, layer, paths, policy);
        let fetched = fetch_layer(self.source, descriptor, &layer.diff_id, &tell, take_in);
        fetched.map(|(fetched, origin)| Fetched { origin, ..fetched })
    }

    fn take_in(
        &self,
        bytes: LayerBytes<'_>,
        index: usize,
        layer: &LayerState,
        paths: PathPolicy,
        policy: Option<&file_contexts::Policy>,
    ) -> Result<Fetched, ImportError> {
        let options = TransactionOptions::default().deferring_ref_sync();
        let txn = self.repo.begin(options)?;
        let diff_id = layer.diff_id.to_string();
        let mut beside = match self.companion {
            Some(companion) if !companion.has(&diff_id)? => Some(companion.begin(self.repo)?),
            _ => None,
        };
        let tap = beside
            .as_deref_mut()
            .map(|beside| -> &mut dyn Tap { beside });
        let fetched = match layer.role {
            LayerRole::Derived => self.tree_layer(&txn, bytes, index, layer, tap, paths, policy)?,
            LayerRole::Chunk | LayerRole::Commit => {
                self.object_layer(&txn, bytes, index, layer, tap)?
            }
        };
        let refspec = Refspec::local(ref_for_digest(&layer.digest)?);
        txn.set_ref(refspec, Expect::Any, Some(fetched.commit));
        let stats = txn.commit(&progress::Silent, self.interrupt)?;
        if let Some(beside) = beside {
            beside.finish(&diff_id)?;
        }
        Ok(Fetched { stats, ..fetched })
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "a layer, and all that it depends on"
    )]
    fn tree_layer(
        &self,
        txn: &Transaction<'_>,
        bytes: LayerBytes<'_>,
        index: usize,
        layer: &LayerState,
        tap: Option<&mut dyn Tap>,
        paths: PathPolicy,
        policy: Option<&file_contexts::Policy>,
    ) -> Result<Fetched, ImportError> {
        let labeler = policy.map(|policy| {
            move |path: &[u8], mode| policy.commit_label(path, mode).map(ToOwned::to_owned)
        });
        let labeler = labeler
            .as_ref()
            .map(|labeler| labeler as layer::Labeler<'_>);
        let options = TreeOptions { paths, labeler };
        let imported = self.streamed(bytes, index, layer, |blob| {
            layer::import_tree(txn, blob, options, tap, &self.stop)
        })?;
        let stored = StoredLayer {
            tree: imported.tree,
            deferred: imported.deferred,
        };
        let commit = stored.write(txn)?;
        let filtered = imported.filtered;
        Ok(Fetched {
            commit,
            tree: Some(stored),
            filtered,
            stats: ostree::Stats::default(),
            origin: LayerOrigin::Fetched,
        })
    }

    fn object_layer(
        &self,
        txn: &Transaction<'_>,
        bytes: LayerBytes<'_>,
        index: usize,
        layer: &LayerState,
        tap: Option<&mut dyn Tap>,
    ) -> Result<Fetched, ImportError> {
        let set = self.streamed(bytes, index, layer, |blob| match layer.role {
            LayerRole::Commit => layer::import_commit_objects(txn, blob, tap, &self.stop),
            _ => layer::import_object_set(txn, blob, tap, &self.stop),
        })?;
        let commit = match &set.commit {
            Some(commit) => commit.checksum,
            None => write_object_set(txn, &set.content)?,
        };
        let (filtered, stats) = Default::default();
        Ok(Fetched {
            commit,
            tree: None,
            filtered,
            stats,
            origin: LayerOrigin::Fetched,
        })
    }

    /// Let `import` read the bytes, counted and interruptible.
    fn streamed<T>(
        &self,
        bytes: LayerBytes<'_>,
        index: usize,
        layer: &LayerState,
        import: impl FnOnce(LayerBlob<'_>) -> Result<T, LayerError>,
    ) -> Result<T, ImportError> {
        let (blob, place) = ((&layer.digest, layer.size), (index, self.descriptors.len()));
        let task = LayerTask::begin(self.progress, &bytes, blob, place);
        let failed = |source| ImportError::layer(&layer.digest, source);
        let counted = self.stop.reader(task.reader(bytes.bytes));
        let blob = LayerBlob {
            bytes: Box::new(self.interrupt.reader(counted)),
            size: bytes.size,
            diff_id: sha256_of(&layer.diff_id),
        };
        let result = import(blob).map_err(|error| match error {
            LayerError::Read(error) => ImportError::blob(
                &layer.digest,
                SourceError::from_stream(self.source.reference(), error),
            ),
            other => failed(other),
        })?;
        task.done();
        Ok(result)
    }
}

/// The diff_id as a checksum. Other algorithms than SHA-256 are not verified while streaming; the blob's
/// own digest is in any case.
fn sha256_of(digest: &oci::digest::Digest) -> Option<Checksum> {
    match digest.algorithm() {
        oci::digest::Algorithm::Sha256 => digest.hex().parse().ok(),
        oci::digest::Algorithm::Sha512 => None,
    }
}
