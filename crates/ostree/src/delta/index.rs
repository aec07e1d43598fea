//! Indexes: for each commit, which deltas lead to it.

use std::collections::BTreeMap;
use std::path::Path;

use durable::LockError;
use ostree_format::{Checksum, limits};
use static_delta::{DeltaIndex, DeltaName};

use crate::Repo;

impl Repo {
    /// The commits that have an index of the deltas to them, sorted.
    ///
    /// # Errors
    /// What the system said.
    pub fn list_delta_indexes(&self) -> Result<Vec<Checksum>, durable::Error> {
        let mut commits = Vec::new();
        for (head, is_dir) in self.names_in("delta-indexes")? {
            if is_dir && head.len() == 2 {
                let names = self.names_in(&format!("delta-indexes/{head}"))?;
                let files = names.iter().filter(|(_, is_dir)| !is_dir);
                commits
                    .extend(files.filter_map(|(tail, _)| DeltaName::indexed_commit(&head, tail)));
            }
        }
        commits.sort_unstable();
        Ok(commits)
    }

    /// The checksums of the superblocks of all static deltas.
    ///
    /// # Errors
    /// What the system said.
    pub fn delta_digests(&self) -> Result<BTreeMap<DeltaName, Checksum>, durable::Error> {
        let mut digests = BTreeMap::new();
        for delta in self.list_deltas()? {
            let path = delta.superblock_path();
            let limit = limits::MAX_DELTA_FILE;
            if let Some(bytes) = durable::read_optional(self.dir(), Path::new(&path), limit)? {
                digests.insert(delta, Checksum::of(&bytes));
            }
        }
        Ok(digests)
    }

    /// Bring the indexes up to date with the deltas: that of the commit `only`, or all of them. The config
    /// says from then on that there are some (`core.indexed-deltas`), for whoever fetches.
    ///
    /// # Errors
    /// What the system said; every index is then an old or a new one.
    pub fn reindex_deltas(&self, only: Option<Checksum>) -> Result<(), LockError> {
        let _lock = self.lock_shared()?;
        self.announce_indexes()?;
        let mut indexes: BTreeMap<Checksum, DeltaIndex> = BTreeMap::new();
        for (name, digest) in self.delta_digests()? {
            indexes.entry(name.to).or_default().0.insert(name, digest);
        }
        for commit in self.list_delta_indexes()? {
            indexes.entry(commit).or_default();
        }
        let wanted = |commit: &Checksum| only.is_none_or(|only| only == *commit);
        for (commit, index) in indexes.iter().filter(|(commit, _)| wanted(commit)) {
            self.write_delta_index(commit, index)?;
        }
        Ok(())
    }

    fn announce_indexes(&self) -> Result<(), durable::Error> {
        let mut config = self.config().file.clone();
        if config.get_bool("core", "indexed-deltas") == Some(true) {
            return Ok(());
        }
        config.set("core", "indexed-deltas", "true");
        durable::publish(
            self.dir(),
            Path::new("config"),
            config.to_string().as_bytes(),
            0o644,
        )
    }

    /// An index of nothing is removed, and one that is the same left alone.
    fn write_delta_index(
        &self,
        commit: &Checksum,
        index: &DeltaIndex,
    ) -> Result<(), durable::Error> {
        let path = DeltaName::index_path(commit);
        let path = Path::new(&path);
        if index.0.is_empty() {
            return durable::remove_all(self.dir(), path);
        }
        let bytes = index.to_bytes();
        let old = durable::read_optional(self.dir(), path, limits::MAX_METADATA_SIZE)?;
        if old.as_ref() == Some(&bytes) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            durable::create_dir_all(self.dir(), parent, 0o777)?;
        }
        durable::publish(self.dir(), path, &bytes, 0o644)
    }
}
