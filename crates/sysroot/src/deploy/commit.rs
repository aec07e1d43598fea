//! Whether a commit can be booted, and what it brings along.

use ostree_format::keyfile::KeyFile;
use ostree_format::{Checksum, Commit};

use super::{DeployError, UnfitCommit};
use crate::source::{Committed, Source as _, SourceError};
use crate::{Kernel, Sysroot, kernel};

/// Says how `ostree-prepare-root` mounts the root.
const PREPARE_ROOT: &str = "usr/lib/ostree/prepare-root.conf";

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
        if wants_composefs(&source)? {
            return Err(unfit(UnfitCommit::Composefs));
        }
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

/// Whether the root cannot be mounted without an image for composefs.
fn wants_composefs(source: &Committed<'_>) -> Result<bool, SourceError> {
    let config = source.text(PREPARE_ROOT)?.unwrap_or_default();
    let config = KeyFile::parse(&config).unwrap_or_default();
    let enabled = config.get("composefs", "enabled").unwrap_or_default();
    Ok(["yes", "true", "1", "signed", "verity"].contains(&enabled.as_str()))
}
