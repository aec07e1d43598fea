//! Where static deltas stand.

use std::path::Path;

use durable::IoContext as _;
use ostree_format::limits;
use rustix::fs::{Access, AtFlags};
use rustix::io::Errno;
use static_delta::DeltaName;

use super::DeltaApplyError;
use crate::Repo;

impl Repo {
    /// All static deltas of this repository, sorted.
    ///
    /// # Errors
    /// What the system said.
    pub fn list_deltas(&self) -> Result<Vec<DeltaName>, durable::Error> {
        let mut deltas = Vec::new();
        for (head, is_dir) in self.names_in("deltas")? {
            if !is_dir {
                continue;
            }
            for (tail, _) in self.names_in(&format!("deltas/{head}"))? {
                let delta = DeltaName::from_directory(&head, &tail);
                if let Some(delta) = delta.filter(|delta| self.has_delta(delta)) {
                    deltas.push(delta);
                }
            }
        }
        deltas.sort_unstable();
        Ok(deltas)
    }

    /// Whether this repository has the static delta.
    #[must_use]
    pub fn has_delta(&self, delta: &DeltaName) -> bool {
        let superblock = delta.superblock_path();
        let flags = AtFlags::empty();
        rustix::fs::accessat(self.dir(), superblock, Access::EXISTS, flags).is_ok()
    }

    /// The bytes of a delta's superblock, with its envelope when it is signed.
    ///
    /// # Errors
    /// [`DeltaApplyError::NotFound`], or what the system said.
    pub fn load_delta(&self, delta: &DeltaName) -> Result<Vec<u8>, DeltaApplyError> {
        let path = delta.superblock_path();
        durable::read_optional(self.dir(), Path::new(&path), limits::MAX_DELTA_FILE)?
            .ok_or(DeltaApplyError::NotFound(*delta))
    }

    /// The bytes of the file of one part.
    ///
    /// # Errors
    /// [`DeltaApplyError::PartMissing`], or what the system said.
    pub fn load_delta_part(
        &self,
        delta: &DeltaName,
        part: usize,
    ) -> Result<Vec<u8>, DeltaApplyError> {
        let path = delta.part_path(part);
        durable::read_optional(self.dir(), Path::new(&path), limits::MAX_DELTA_FILE)?
            .ok_or(DeltaApplyError::PartMissing(path))
    }

    /// Remove a static delta.
    ///
    /// # Errors
    /// [`DeltaApplyError::NotFound`], or what the system said; the delta is whole or not listed then.
    pub fn delete_delta(&self, delta: &DeltaName) -> Result<(), DeltaApplyError> {
        let directory = delta.directory();
        match rustix::fs::statat(self.dir(), &directory, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Err(DeltaApplyError::NotFound(*delta)),
            other => other.during("look at", &directory)?,
        };
        // Without the superblock the rest is no delta, should this be the last that happens.
        durable::remove_all(self.dir(), Path::new(&delta.superblock_path()))?;
        Ok(durable::remove_all(self.dir(), Path::new(&directory))?)
    }
}
