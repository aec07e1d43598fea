//! Carrying a plan out.

use std::path::Path;

use durable::{IoContext as _, crash_point};
use ostree_format::gvariant::Value;
use ostree_format::{Checksum, Metadata, ObjectKind, ObjectName};
use progress::{Interrupt, Progress, Task, TaskKind};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::{PruneError, PrunePlan, PruneStats};
use crate::Repo;

impl PrunePlan<'_> {
    /// Delete what the plan says.
    ///
    /// # Errors
    /// [`PruneError`]; what was deleted until then is gone, and the repository is whole all the same.
    pub fn apply(
        self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<PruneStats, PruneError> {
        let stats = self.stats();
        let task = Task::begin(progress, TaskKind::Prune, Some(stats.deleted));
        for commit in &self.commits {
            interrupt.check()?;
            self.repo.remove_commit(commit)?;
            task.advance(1);
            crash_point("prune:commit-deleted");
        }
        if !self.commits.is_empty() && self.repo.config().fsync {
            // A power cut must not bring a commit back whose objects are gone.
            durable::sync_filesystem(self.repo.dir())?;
        }
        // By one thread: the file system takes one after the other in any case.
        for batch in self.others.chunks(64) {
            interrupt.check()?;
            for name in batch {
                self.repo.remove_object(name)?;
            }
            task.advance(batch.len() as u64);
            crash_point("prune:objects-deleted");
        }
        for delta in &self.deltas {
            durable::remove_all(self.repo.dir(), Path::new(&delta.directory()))?;
        }
        if stats.deleted > 0 {
            let cache = Path::new(crate::checkout::cache::CACHE);
            durable::remove_all(self.repo.dir(), cache)?;
        }
        self.repo.forget_cached_summaries()?;
        task.done();
        Ok(stats)
    }
}

impl Repo {
    /// Delete a commit that no ref names, and leave a tombstone that says that it is gone on purpose.
    /// Its objects stay until the next prune. From now on every commit that is pruned leaves one.
    ///
    /// # Errors
    /// [`PruneError::Referenced`] and [`PruneError::NoSuchCommit`]; otherwise what failed.
    pub fn delete_commit(&mut self, commit: &Checksum) -> Result<(), PruneError> {
        let _lock = self.lock_exclusive()?;
        for found in self.ref_files()? {
            let name = found.shown();
            if found.commit? == Some(*commit) {
                let commit = *commit;
                return Err(PruneError::Referenced { commit, name });
            }
        }
        if !self.has_object(&ObjectName::new(*commit, ObjectKind::Commit))? {
            return Err(PruneError::NoSuchCommit(*commit));
        }
        self.keep_tombstones()?;
        self.remove_commit(commit)
    }

    /// Let every commit that is pruned from now on leave a tombstone.
    fn keep_tombstones(&mut self) -> Result<(), PruneError> {
        let mut config = self.config().file.clone();
        if config.get_bool("core", "tombstone-commits") != Some(true) {
            config.set("core", "tombstone-commits", "true");
            self.write_config(&config)?;
        }
        Ok(())
    }

    /// Write tombstones for the parents that commits name and that are not here, and give those that got
    /// one. From now on every commit that is pruned leaves one, if there are any.
    ///
    /// Libostree's `fsck --add-tombstones` removes the child and writes the tombstone for it, even when a
    /// ref names it; that is not imitated.
    ///
    /// # Errors
    /// [`PruneError`]; the tombstones that were written until then stay.
    pub fn add_tombstones(&mut self) -> Result<Vec<Checksum>, PruneError> {
        let _lock = self.lock_exclusive()?;
        let mut missing = Vec::new();
        for head in 0..=u8::MAX {
            for name in self.objects_in(head)? {
                if name.kind == ObjectKind::Commit
                    && let Some(parent) = self.load_commit(&name.checksum)?.parent
                    && !self.has_object(&ObjectName::new(parent, ObjectKind::Commit))?
                {
                    missing.push(parent);
                }
            }
        }
        if !missing.is_empty() {
            self.keep_tombstones()?;
        }
        for commit in &missing {
            self.write_tombstone(commit)?;
        }
        Ok(missing)
    }

    /// Delete a commit with its detached metadata and its mark of being partial.
    fn remove_commit(&self, commit: &Checksum) -> Result<(), PruneError> {
        if self.config().file.get_bool("core", "tombstone-commits") == Some(true) {
            self.write_tombstone(commit)?;
        }
        self.remove_object(&ObjectName::new(*commit, ObjectKind::Commit))?;
        self.remove_object(&ObjectName::new(*commit, ObjectKind::CommitMeta))?;
        self.set_partial(commit, None)?;
        Ok(())
    }

    /// Source: libostree's `ostree_repo_delete_object`: a dictionary with the checksum as a
    /// terminated byte string under `commit`.
    fn write_tombstone(&self, commit: &Checksum) -> Result<(), PruneError> {
        let text = format!("{commit}\0").into_bytes();
        let tombstone: Metadata = [("commit", Value::Bytes(text))].into_iter().collect();
        let name = ObjectName::new(*commit, ObjectKind::TombstoneCommit);
        let path = name.loose_path(self.mode());
        durable::publish(
            self.objects(),
            Path::new(&path),
            &tombstone.to_bytes(),
            0o644,
        )?;
        Ok(())
    }

    /// Delete an object; that it is not there is fine.
    pub(crate) fn remove_object(&self, name: &ObjectName) -> Result<(), durable::Error> {
        let path = name.loose_path(self.mode());
        match rustix::fs::unlinkat(self.objects(), &path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).during("delete object", &path),
        }
    }

    /// Remove cached summaries of remotes that are not configured any more.
    fn forget_cached_summaries(&self) -> Result<(), durable::Error> {
        for (name, is_dir) in self.names_in("tmp/cache/summaries")? {
            let remote = name.strip_suffix(".sig").unwrap_or(&name);
            let group = format!("remote \"{remote}\"");
            if !is_dir && !self.config().file.has_group(&group) {
                let path = format!("tmp/cache/summaries/{name}");
                durable::remove_all(self.dir(), Path::new(&path))?;
            }
        }
        Ok(())
    }
}
