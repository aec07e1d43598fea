//! Whether a commit can be booted, and what it brings along.

use ostree_format::{Checksum, Commit};

use super::{DeployError, UnfitCommit, image};
use crate::source::{Committed, SourceError};
use crate::{Kernel, Sysroot, kernel};

impl Sysroot {
    /// Read a commit and find its kernel.
    pub(super) fn examine(&self, checksum: &Checksum) -> Result<(Commit, Kernel), DeployError> {
        let unfit = |problem: UnfitCommit| DeployError::Commit {
            commit: *checksum,
            source: Box::new(problem),
        };
        if self.repo().is_partial(checksum)? {
            return Err(unfit(UnfitCommit::Partial));
        }
        let commit = self.repo().load_commit(checksum)?;
        if !self.keeps_etc_in_usr(checksum)? {
            return Err(unfit(UnfitCommit::EtcNotInUsr));
        }
        let source = Committed::new(self.repo(), commit.contents);
        image::digests(&source).map_err(|error| error.of(*checksum))?;
        let found = kernel::find(&source, None, !self.options.no_device_trees);
        let kernel = found.map_err(|error| unfit(error.into()))?;
        Ok((commit, kernel))
    }

    /// Whether there are no files in `/etc`: it is made from `/usr/etc`.
    fn keeps_etc_in_usr(&self, commit: &Checksum) -> Result<bool, SourceError> {
        let Some((contents, _)) = self.repo().subtree(commit, "etc")? else {
            return Ok(true);
        };
        let tree = self.repo().load_dirtree(&contents)?;
        Ok(tree.files.is_empty() && tree.dirs.is_empty())
    }
}
