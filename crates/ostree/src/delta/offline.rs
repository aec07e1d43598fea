//! Applying a delta that lies in a directory.

use std::os::fd::BorrowedFd;
use std::path::Path;

use ostree_format::{ObjectKind, ObjectName, limits};
use progress::{Interrupt, Progress};
use static_delta::Superblock;

use super::DeltaApplyError;
use crate::{Partial, Repo, Stats, TransactionOptions};

impl Repo {
    /// Apply a delta whose superblock was read (and whose signatures were looked at) by the caller; parts that
    /// do not stand in it are files of `dir`.
    ///
    /// # Errors
    /// [`DeltaApplyError`]; the repository is as before then, but for [`DeltaApplyError::Incomplete`].
    pub fn apply_delta(
        &self,
        delta: &Superblock,
        dir: BorrowedFd<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Stats, DeltaApplyError> {
        self.check_delta(delta, &delta.name)?;
        if !delta.fallbacks.is_empty() {
            return Err(DeltaApplyError::Fallbacks(delta.fallbacks.len()));
        }
        let txn = self.begin(TransactionOptions::default())?;
        txn.write_delta_commit(delta)?;
        for (index, header) in delta.parts.iter().enumerate() {
            if self.has_delta_objects(header)? {
                continue;
            }
            let part = match delta.inline_part(index) {
                Some(bytes) => header.open_unchecked(&bytes)?,
                None => {
                    let name = index.to_string();
                    let bytes =
                        durable::read_optional(dir, Path::new(&name), limits::MAX_DELTA_FILE)?;
                    header.open(&bytes.ok_or(DeltaApplyError::PartMissing(name))?)?
                }
            };
            txn.apply_delta_part(header, &part, interrupt)?;
        }
        // Should the process die from here on, what is missing is known to be.
        let commit = delta.name.to;
        if !self.has_object(&ObjectName::new(commit, ObjectKind::Commit))? {
            self.set_partial(&commit, Some(Partial::Fetch))?;
        }
        let stats = txn.commit(progress, interrupt)?;
        match self.missing_object(&commit)? {
            None => self.set_partial(&commit, None)?,
            Some(missing) => return Err(DeltaApplyError::Incomplete { commit, missing }),
        }
        Ok(stats)
    }
}
