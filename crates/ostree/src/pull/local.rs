//! What has to come: commits, their trees, and in the end the refs.

use std::collections::{BTreeSet, HashSet};

use ostree_format::refs::Refspec;
use ostree_format::{Checksum, Commit, ObjectKind, ObjectName, limits};
use progress::{Interrupt, Progress, Task, TaskKind};

use super::{PullError, PullLocalOptions, PullStats};
use crate::{Depth, Expect, Partial, ReadError, Repo, Transaction, TransactionOptions};

impl Repo {
    /// Bring `revs` (refs, or checksums of commits) of `source` into this repository, converting
    /// objects where the two modes differ. Objects are linked where that is possible.
    ///
    /// # Errors
    /// [`PullError`]; no ref has moved then, and a commit is here only with all its objects or marked
    /// as partial.
    pub fn pull_local(
        &self,
        source: &Self,
        revs: &[String],
        options: &PullLocalOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<PullStats, PullError> {
        let _source_lock = source.lock_for_reading().map_err(crate::WriteError::from)?;
        let txn = self.begin(TransactionOptions::default().writing_split_xattrs())?;
        let mut pull = Pull {
            source,
            txn: &txn,
            options,
            interrupt,
            dirs: HashSet::new(),
            metas: HashSet::new(),
            files: BTreeSet::new(),
            stats: PullStats::default(),
            complete: Vec::new(),
            partial: Vec::new(),
        };
        for rev in revs {
            pull.rev(rev)?;
        }
        let files: Vec<Checksum> = std::mem::take(&mut pull.files).into_iter().collect();
        let task = Task::begin(progress, TaskKind::CopyFiles, Some(files.len() as u64));
        pull.import_files(&files, &task)?;
        task.done();
        let (stats, complete, partial) = (pull.stats, pull.complete, pull.partial);
        for commit in &partial {
            self.set_partial(commit, Some(Partial::Fetch))?;
        }
        txn.commit(progress, interrupt)?;
        for commit in &complete {
            self.set_partial(commit, None)?;
        }
        Ok(stats)
    }
}

/// One pull.
pub(super) struct Pull<'a> {
    pub(super) source: &'a Repo,
    pub(super) txn: &'a Transaction<'a>,
    pub(super) options: &'a PullLocalOptions,
    pub(super) interrupt: &'a Interrupt,
    dirs: HashSet<Checksum>,
    metas: HashSet<Checksum>,
    files: BTreeSet<Checksum>,
    pub(super) stats: PullStats,
    /// Commits that have all their objects when the transaction is committed.
    complete: Vec<Checksum>,
    /// Commits that do not.
    partial: Vec<Checksum>,
}

impl Pull<'_> {
    fn rev(&mut self, rev: &str) -> Result<(), PullError> {
        if let Ok(commit) = rev.parse::<Checksum>() {
            return self.history(commit, None);
        }
        let refspec: Refspec = rev.parse().map_err(crate::RefError::from)?;
        let found = self.source.read_ref(&refspec)?;
        let commit = found.ok_or_else(|| crate::RefError::NotFound(rev.to_owned()))?;
        self.history(commit, Some(refspec.name.as_str()))?;
        let remote = self.options.remote.clone();
        let name = refspec.name;
        let target = Refspec { remote, name };
        self.txn.set_ref(target, Expect::Any, Some(commit));
        Ok(())
    }

    /// A commit, which `name` may stand for, and as many of its ancestors as are wanted and there.
    fn history(&mut self, commit: Checksum, mut name: Option<&str>) -> Result<(), PullError> {
        let collection = self.source.collection_id();
        let mut next = Some((commit, self.options.depth));
        let mut first = true;
        while let Some((checksum, depth)) = next {
            self.interrupt.check()?;
            let commit = match self.source.load_commit(&checksum) {
                Err(ReadError::Missing(_)) if !first => break,
                other => other?,
            };
            first = false;
            if self.options.verify_bindings {
                crate::verify_bindings(&commit, collection.as_deref(), name.take()).map_err(
                    |source| PullError::NotBound {
                        commit: checksum,
                        source,
                    },
                )?;
            }
            self.commit(checksum, &commit)?;
            next = commit.parent.zip(Depth::parent(depth));
        }
        Ok(())
    }

    fn commit(&mut self, checksum: Checksum, commit: &Commit) -> Result<(), PullError> {
        let repo = self.txn.repo;
        let stored = repo.provides(&ObjectName::new(checksum, ObjectKind::Commit))?;
        let whole = stored && repo.partial(&checksum)?.is_none();
        if !whole && !self.options.commit_only {
            self.dirmeta(&commit.meta)?;
            self.dir(&commit.contents, limits::MAX_DEPTH)?;
            self.complete.push(checksum);
        } else if !stored {
            self.partial.push(checksum);
        }
        self.metadata(ObjectName::new(checksum, ObjectKind::Commit))?;
        if let Some(detached) = self.source.load_detached_metadata(&checksum)? {
            self.txn.write_detached_metadata(checksum, &detached)?;
        }
        Ok(())
    }

    fn dirmeta(&mut self, checksum: &Checksum) -> Result<(), PullError> {
        if self.metas.insert(*checksum) {
            self.metadata(ObjectName::new(*checksum, ObjectKind::DirMeta))?;
        }
        Ok(())
    }

    fn dir(&mut self, checksum: &Checksum, depth: usize) -> Result<(), PullError> {
        if !self.dirs.insert(*checksum) {
            return Ok(());
        }
        self.interrupt.check()?;
        let depth = depth.checked_sub(1);
        let depth = depth.ok_or(ReadError::TooDeep(*checksum))?;
        let tree = self.source.load_dirtree(checksum)?;
        self.metadata(ObjectName::new(*checksum, ObjectKind::DirTree))?;
        self.files.extend(tree.files.iter().map(|(_, file)| *file));
        for entry in &tree.dirs {
            self.dirmeta(&entry.meta)?;
            self.dir(&entry.contents, depth)?;
        }
        Ok(())
    }
}
