//! Verifying a repository.

mod references;
mod repair;

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;
use std::num::NonZeroUsize;

use error_class::{Classified, ErrorClass};
use ostree_format::{Checksum, Commit, DirTree, FormatError, ObjectKind, ObjectName, limits};
use progress::{Interrupt, Interrupted, Progress, Share, Task, TaskKind};

use crate::{Partial, ReadError, RefError, Repo};

pub use references::ReferenceError;
pub use repair::Repaired;

/// Choices of a verification.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FsckOptions {
    /// How many threads hash objects; `None` is one per processor.
    pub threads: Option<NonZeroUsize>,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct FsckReport {
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Commits whose trees were walked.
    pub commits: u64,
    /// Commits that are marked as partial; missing objects are no damage for them.
    pub partial_commits: u64,
    /// Everything that is wrong, by object.
    pub damage: Vec<Damage>,
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// An object cannot be read, or does not hash to its name.
    #[error(transparent)]
    Object(#[from] ReadError),
    /// A tree needs an object that is not there.
    #[error("Object missing: {missing}; commit {commit} needs it at {path:?}")]
    Missing {
        /// What is not there.
        missing: ObjectName,
        /// A commit that needs it.
        commit: Checksum,
        /// Where in the commit's tree.
        path: String,
    },
    /// An earlier verification marked the commit, because objects were missing or were removed.
    #[error("commit {commit} lost objects: an earlier fsck marked it as incomplete")]
    LostObjects {
        /// The commit.
        commit: Checksum,
    },
    /// A ref names a commit that is not there.
    #[error("Loading commit for ref {name}: No such metadata object {commit}.commit")]
    DanglingRef {
        /// The ref.
        name: String,
        /// The commit.
        commit: Checksum,
    },
    /// A ref cannot be read.
    #[error(transparent)]
    Ref(#[from] RefError),
    /// The repository itself cannot be read, so nothing is known about the rest.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for Damage {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Object(error) => error.class(),
            Self::Ref(error) => error.class(),
            Self::Io(error) => error.class(),
            Self::Missing { .. } | Self::LostObjects { .. } | Self::DanglingRef { .. } => {
                ErrorClass::Corrupt
            }
        }
    }
}

impl Repo {
    /// Hash every object, parse every metadata object, and walk every commit and ref.
    ///
    /// # Errors
    /// Only an interrupt; damage is in the report.
    pub fn fsck(
        &self,
        options: &FsckOptions,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<FsckReport, Interrupted> {
        let mut report = FsckReport::default();
        let mut names = Vec::new();
        for head in 0..=u8::MAX {
            match self.objects_in(head) {
                Ok(found) => names.extend(found),
                Err(error) => report.damage.push(error.into()),
            }
        }
        self.verify_objects(&names, options, &mut report, progress, interrupt)?;
        self.verify_reachability(&names, &mut report, interrupt)?;
        self.verify_refs(&mut report);
        Ok(report)
    }

    fn verify_objects(
        &self,
        names: &[ObjectName],
        options: &FsckOptions,
        report: &mut FsckReport,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Interrupted> {
        let task = Task::begin(progress, TaskKind::Fsck, Some(names.len() as u64));
        let share = Share {
            threads: options.threads,
            batch: 64,
        };
        let found: Vec<(_, BTreeMap<_, _>)> = task.share_out(
            names,
            share,
            interrupt,
            || (vec![0; 256 * 1024], BTreeMap::new()),
            |(buffer, damage), batch| -> Result<(), Interrupted> {
                for name in batch {
                    if let Err(error) = self.verify_object(name, buffer) {
                        damage.insert(*name, error);
                    }
                }
                Ok(())
            },
        )?;
        task.done();
        report.objects = names.len() as u64;
        // In the order of names, whoever found them.
        let damage: BTreeMap<_, _> = found.into_iter().flat_map(|(_, damage)| damage).collect();
        report
            .damage
            .extend(damage.into_values().map(Damage::Object));
        Ok(())
    }

    /// Read one object and check that it is what its name says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify_object(&self, name: &ObjectName, buffer: &mut [u8]) -> Result<(), ReadError> {
        let damaged = |source| ReadError::Damaged {
            name: *name,
            source,
        };
        let actual = match name.kind {
            ObjectKind::File => self.hash_content(name, buffer)?,
            ObjectKind::DirTree | ObjectKind::DirMeta | ObjectKind::Commit => {
                let bytes = self.load_bytes(name)?.ok_or(ReadError::Missing(*name))?;
                let actual = Checksum::of(&bytes);
                // What was changed need not be understood; what was not must be.
                if actual == name.checksum {
                    match name.kind {
                        ObjectKind::DirTree => drop(DirTree::from_bytes(&bytes).map_err(damaged)?),
                        ObjectKind::Commit => drop(Commit::from_bytes(&bytes).map_err(damaged)?),
                        _ => drop(ostree_format::DirMeta::from_bytes(&bytes).map_err(damaged)?),
                    }
                }
                actual
            }
            ObjectKind::CommitMeta => {
                self.load_detached_metadata(&name.checksum)?;
                return Ok(());
            }
            ObjectKind::FileXattrs => {
                let bytes = self.load_bytes(name)?.ok_or(ReadError::Missing(*name))?;
                ostree_format::Xattrs::from_bytes(&bytes).map_err(damaged)?;
                Checksum::of(&bytes)
            }
            // Not named by their own content.
            ObjectKind::TombstoneCommit | ObjectKind::PayloadLink | ObjectKind::FileXattrsLink => {
                return Ok(());
            }
        };
        if actual == name.checksum {
            return Ok(());
        }
        let (kind, expected) = (name.kind, name.checksum);
        Err(damaged(FormatError::ChecksumMismatch {
            kind,
            expected,
            actual,
        }))
    }

    /// Delete an object if it is there and not what its name says, so that it can be written anew;
    /// whether it was deleted. Commits that need it should be marked or mended by whoever calls this.
    ///
    /// # Errors
    /// The object cannot be looked at or not be deleted.
    pub fn remove_damaged(&self, name: &ObjectName) -> Result<bool, ReadError> {
        match self.verify_object(name, &mut vec![0; 256 * 1024]) {
            Ok(()) | Err(ReadError::Missing(_)) => Ok(false),
            Err(error) if error.class() == ErrorClass::Corrupt => {
                self.remove_object(name)?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn hash_content(&self, name: &ObjectName, buffer: &mut [u8]) -> Result<Checksum, ReadError> {
        let mut object = self.open_file(&name.checksum)?;
        let mut hasher = object.header.hasher();
        loop {
            match object.content.read(buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    return Err(ReadError::BadContent {
                        name: *name,
                        reason: "its content cannot be read to the end",
                    });
                }
            }
        }
    }

    fn verify_reachability(
        &self,
        names: &[ObjectName],
        report: &mut FsckReport,
        interrupt: &Interrupt,
    ) -> Result<(), Interrupted> {
        let present: HashSet<&ObjectName> = names.iter().collect();
        let mut seen = HashSet::new();
        for name in names.iter().filter(|name| name.kind == ObjectKind::Commit) {
            interrupt.check()?;
            let Ok(commit) = self.load_commit(&name.checksum) else {
                continue;
            };
            match self.partial(&name.checksum) {
                Ok(None) => report.commits += 1,
                Ok(Some(Partial::Fetch)) => {
                    report.partial_commits += 1;
                    continue;
                }
                // Walked all the same, so that what is missing is named.
                Ok(Some(Partial::Damage)) => {
                    report.commits += 1;
                    let commit = name.checksum;
                    report.damage.push(Damage::LostObjects { commit });
                }
                Err(error) => report.damage.push(error.into()),
            }
            let mut walk = Walk {
                repo: self,
                present: &present,
                seen: &mut seen,
                commit: name.checksum,
            };
            walk.dir(
                &commit.contents,
                &commit.meta,
                &mut String::from("/"),
                report,
            );
        }
        Ok(())
    }

    fn verify_refs(&self, report: &mut FsckReport) {
        let refs = match self.ref_files() {
            Ok(refs) => refs,
            Err(error) => return report.damage.push(error.into()),
        };
        for found in refs {
            let name = found.shown();
            match found.commit {
                Ok(Some(commit)) => report.damage.extend(self.dangling(name, commit)),
                Ok(None) => {}
                Err(error) => report.damage.push(error.into()),
            }
        }
    }

    fn dangling(&self, name: String, commit: Checksum) -> Option<Damage> {
        match self.has_object(&ObjectName::new(commit, ObjectKind::Commit)) {
            Ok(true) => None,
            Ok(false) => Some(Damage::DanglingRef { name, commit }),
            Err(error) => Some(error.into()),
        }
    }
}

/// A walk over one commit's tree that looks at every object once for all commits.
struct Walk<'a> {
    repo: &'a Repo,
    present: &'a HashSet<&'a ObjectName>,
    seen: &'a mut HashSet<ObjectName>,
    commit: Checksum,
}

impl Walk<'_> {
    fn dir(
        &mut self,
        contents: &Checksum,
        meta: &Checksum,
        path: &mut String,
        report: &mut FsckReport,
    ) {
        self.need(ObjectName::new(*meta, ObjectKind::DirMeta), path, report);
        let name = ObjectName::new(*contents, ObjectKind::DirTree);
        if self.seen.contains(&name) || !self.need(name, path, report) {
            return;
        }
        // More would not be checked out either, and must not use up the stack here.
        if path.matches('/').count() > limits::MAX_DEPTH {
            return report.damage.push(ReadError::TooDeep(*contents).into());
        }
        // A damaged dirtree was reported when it was hashed.
        let Ok(tree) = self.repo.load_dirtree(contents) else {
            return;
        };
        let length = path.len();
        for (file, checksum) in &tree.files {
            path.push_str(file);
            self.need(ObjectName::new(*checksum, ObjectKind::File), path, report);
            path.truncate(length);
        }
        for entry in &tree.dirs {
            path.push_str(&entry.name);
            path.push('/');
            self.dir(&entry.contents, &entry.meta, path, report);
            path.truncate(length);
        }
    }

    /// Whether the object is there; reports it once when it is not.
    fn need(&mut self, name: ObjectName, path: &str, report: &mut FsckReport) -> bool {
        let there = self.present.contains(&name);
        if self.seen.insert(name) && !there {
            let (missing, commit, path) = (name, self.commit, path.to_owned());
            report.damage.push(Damage::Missing {
                missing,
                commit,
                path,
            });
        }
        there
    }
}
