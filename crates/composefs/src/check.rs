//! Verifying a repository.

use std::collections::HashSet;
use std::io;

use composefs_format::{Digest, VerityHasher};
use durable::IoContext as _;
use error_class::{Classified, ErrorClass};
use progress::{Interrupt, Interrupted, Progress, Share, Task, TaskKind};
use rustix::fs::AtFlags;

use crate::names::Category;
use crate::{Store, StoreError};

/// What a verification found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Objects that were read and hashed.
    pub objects: u64,
    /// Streams that were read.
    pub streams: u64,
    /// Images that were read.
    pub images: u64,
    /// Everything that is wrong.
    pub damage: Vec<Damage>,
}

/// One thing that is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// An object has not the content that its name says.
    #[error("object {digest} is damaged: {reason}")]
    Object {
        /// Which.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// Something needs an object that is not there.
    #[error("object {digest} is missing; {needed_by} needs it")]
    Missing {
        /// Which.
        digest: Digest,
        /// What needs it.
        needed_by: String,
    },
    /// The kernel does not verify an object, and has to.
    #[error("object {digest} is not verified by the kernel; {needed_by} demands that")]
    Unsealed {
        /// Which.
        digest: Digest,
        /// What demands it.
        needed_by: String,
    },
    /// Something in the directory of objects is none.
    #[error("{path} is not the name of an object")]
    Stray {
        /// Where.
        path: String,
    },
    /// A name stands for nothing that could be one.
    #[error("{path} leads nowhere")]
    Link {
        /// Where.
        path: String,
    },
    /// A stream or image cannot be read.
    #[error(transparent)]
    Unreadable(#[from] StoreError),
}

impl Classified for Damage {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreadable(error) => error.class(),
            _ => ErrorClass::Corrupt,
        }
    }
}

impl Store {
    /// Hash every object, and read every stream, image and reference.
    ///
    /// # Errors
    /// Only an interrupt; damage is in the report.
    pub fn check(
        &self,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<CheckReport, Interrupted> {
        let mut report = CheckReport::default();
        let mut objects = Vec::new();
        match self.object_names() {
            Ok(found) => {
                for name in found {
                    match name {
                        Ok(digest) => objects.push(digest),
                        Err(path) => report.damage.push(Damage::Stray { path }),
                    }
                }
            }
            Err(error) => report.damage.push(error.into()),
        }
        self.check_objects(&objects, &mut report, progress, interrupt)?;
        if self.demands_verity() {
            self.check_seals(&objects, "meta.json", &mut report);
        }
        let objects: HashSet<Digest> = objects.into_iter().collect();
        for category in [Category::Streams, Category::Images] {
            if let Err(error) = self.check_names(category, &objects, &mut report) {
                report.damage.push(error.into());
            }
        }
        Ok(report)
    }

    fn check_objects(
        &self,
        objects: &[Digest],
        report: &mut CheckReport,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), Interrupted> {
        let task = Task::begin(progress, TaskKind::Fsck, Some(objects.len() as u64));
        let share = Share {
            threads: None,
            batch: 64,
        };
        let work = |damage: &mut Vec<Damage>, batch: &[Digest]| -> Result<(), Interrupted> {
            for digest in batch {
                if let Some(reason) = self.object_damage(digest) {
                    let digest = *digest;
                    damage.push(Damage::Object { digest, reason });
                }
            }
            Ok(())
        };
        let found = task.share_out(objects, share, interrupt, Vec::new, work)?;
        task.done();
        report.objects = objects.len() as u64;
        report.damage.extend(found.into_iter().flatten());
        Ok(())
    }

    /// What is wrong with an object, if anything.
    #[must_use]
    pub fn object_damage(&self, digest: &Digest) -> Option<String> {
        let mut file = match self.open_object(digest) {
            Ok(file) => file,
            Err(error) => return Some(error.to_string()),
        };
        let mut hasher = VerityHasher::new(self.algorithm());
        match io::copy(&mut file, &mut hasher) {
            Err(error) => Some(format!("it cannot be read: {error}")),
            Ok(_) if hasher.finish() != *digest => Some("its content is another one".to_owned()),
            Ok(_) => None,
        }
    }

    /// Remove an object that is damaged; whether it was.
    ///
    /// # Errors
    /// What the system said.
    pub fn discard_damaged(&self, digest: &Digest) -> Result<bool, StoreError> {
        if !self.has_object(digest)? || self.object_damage(digest).is_none() {
            return Ok(false);
        }
        let path = digest.object_path();
        let removed = rustix::fs::unlinkat(self.objects(), &path, AtFlags::empty());
        removed.during("remove object", path)?;
        Ok(true)
    }

    fn check_names(
        &self,
        category: Category,
        objects: &HashSet<Digest>,
        report: &mut CheckReport,
    ) -> Result<(), StoreError> {
        let entries = self.entries(category)?;
        for (name, digest) in &entries {
            let path = format!("{}/{name}", category.dir());
            let Some(digest) = digest else {
                report.damage.push(Damage::Link { path });
                continue;
            };
            if !objects.contains(digest) {
                report.damage.push(missing(*digest, &path));
                continue;
            }
            self.check_entry(category, digest, &path, objects, report);
        }
        for (name, entry) in self.references(category)? {
            if !entries.contains_key(&entry) {
                let path = format!("{}/refs/{name}", category.dir());
                report.damage.push(Damage::Link { path });
            }
        }
        Ok(())
    }

    fn check_entry(
        &self,
        category: Category,
        digest: &Digest,
        path: &str,
        objects: &HashSet<Digest>,
        report: &mut CheckReport,
    ) {
        let needed = match category {
            Category::Streams => {
                report.streams += 1;
                self.stream(digest).map(|stream| {
                    let names = stream.names.into_values();
                    stream.objects.into_iter().chain(names).collect()
                })
            }
            Category::Images => {
                report.images += 1;
                self.objects_of_image(digest)
            }
        };
        match needed {
            Ok(needed) => {
                let needed: HashSet<Digest> = needed.into_iter().collect();
                let is_there = |digest: &Digest| objects.contains(digest);
                let (there, absent): (Vec<_>, Vec<_>) = needed.into_iter().partition(is_there);
                let damage = absent.into_iter().map(|digest| missing(digest, path));
                report.damage.extend(damage);
                // One that is verified is read from objects that are.
                if category == Category::Images
                    && !self.demands_verity()
                    && self.is_sealed(digest).unwrap_or_default()
                {
                    self.check_seals(&there, path, report);
                }
            }
            // It was told with the objects.
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => report.damage.push(error.into()),
        }
    }
}

impl Store {
    /// Where all are demanded, those were checked before.
    fn check_seals(&self, objects: &[Digest], needed_by: &str, report: &mut CheckReport) {
        let open = |digest: &&Digest| !self.is_sealed(digest).unwrap_or_default();
        let unsealed = objects.iter().filter(open);
        let damage = unsealed.map(|digest| Damage::Unsealed {
            digest: *digest,
            needed_by: needed_by.to_owned(),
        });
        report.damage.extend(damage);
    }
}

fn missing(digest: Digest, needed_by: &str) -> Damage {
    Damage::Missing {
        digest,
        needed_by: needed_by.to_owned(),
    }
}
