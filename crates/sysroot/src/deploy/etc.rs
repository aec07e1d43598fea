//! The `/etc` of a new deployment.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use durable::{Error, IoContext as _};
use file_contexts::{Policy, xattr_value};
use ostree::{CheckoutOptions, Relabel};
use ostree_format::Checksum;
use progress::{Interrupt, Progress};
use rustix::fs::AtFlags;
use rustix::io::Errno;
use tree::Dir;

use super::{DeployError, MergeError};
use crate::copy::Xattrs;
use crate::etc::{self, EtcMeta, EtcPlan, EtcTree};
use crate::source::SourceError;
use crate::{DeploymentId, Locked, Sysroot, dir};

/// A directory that is not there.
const NOTHING: EtcMeta = EtcMeta {
    uid: 0,
    gid: 0,
    mode: 0o755,
};

impl Sysroot {
    /// What would be carried over from `merge` to `commit`.
    pub(super) fn plan_etc(
        &self,
        merge: &DeploymentId,
        commit: &Checksum,
    ) -> Result<EtcPlan, SourceError> {
        let new = etc::scan_commit(self.repo(), commit, "usr/etc")?;
        self.compare_etc(merge, &new.unwrap_or_else(|| Dir::new(NOTHING)))
            .map_err(Into::into)
    }

    fn compare_etc(&self, merge: &DeploymentId, new: &EtcTree) -> Result<EtcPlan, Error> {
        let old = self.scan(&format!("{}/usr/etc", merge.path()))?;
        // A deployment without /etc has no changes; it did not remove everything.
        let current = self.scan(&format!("{}/etc", merge.path()))?;
        let old = old.unwrap_or_else(|| Dir::new(NOTHING));
        let current = current.unwrap_or_else(|| old.clone());
        Ok(EtcPlan::new(&old, &current, new))
    }

    fn scan(&self, path: &str) -> Result<Option<EtcTree>, Error> {
        let found = dir::open_optional(self.dir(), path)?;
        found
            .map(|found| etc::scan_directory(found.as_fd()))
            .transpose()
    }
}

impl Locked<'_> {
    /// Copy `/usr/etc` to `/etc`: files there are for being changed. What is local is carried over by
    /// [`Self::merge_etc`].
    pub(crate) fn make_etc(
        &self,
        id: &DeploymentId,
        policy: Option<&Policy>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), DeployError> {
        let deployment = dir::open(self.dir(), id.path())?;
        if !dir::exists(deployment.as_fd(), "usr/etc")? {
            return Ok(());
        }
        remove_empty(deployment.as_fd(), "etc")?;
        let label = |path: &[u8], mode| {
            policy
                .and_then(|policy| policy.label(path, mode))
                .map(xattr_value)
        };
        let options = CheckoutOptions {
            force_copy: true,
            subpath: Some("usr/etc"),
            relabel: policy.map(|_| Relabel {
                prefix: "/etc",
                label: &label,
            }),
            ..CheckoutOptions::default()
        };
        let (commit, into) = (&id.commit, deployment.as_fd());
        self.repo().checkout(
            commit,
            into,
            Path::new("etc"),
            &options,
            progress,
            interrupt,
        )?;
        Ok(())
    }

    /// Carry over what is local in the `/etc` of `merge`. It is compared again, because it may have
    /// changed since it was planned.
    pub(super) fn merge_etc(
        &self,
        merge: &DeploymentId,
        id: &DeploymentId,
    ) -> Result<(), DeployError> {
        let new = self.scan(&format!("{}/usr/etc", id.path()))?;
        let plan = self.compare_etc(merge, &new.unwrap_or_else(|| Dir::new(NOTHING)))?;
        if let Some(block) = plan.blocks.first() {
            return Err(MergeError::Etc(block.clone()).into());
        }
        if plan.is_empty() {
            return Ok(());
        }
        let target = format!("{}/etc", id.path());
        dir::make(self.dir(), Path::new(&target), NOTHING.mode)?;
        let current = dir::open(self.dir(), format!("{}/etc", merge.path()))?;
        let target = dir::open(self.dir(), &target)?;
        let xattrs = if self.options.no_xattrs {
            Xattrs::LeaveOut
        } else {
            Xattrs::Copy
        };
        etc::apply(&plan, current.as_fd(), target.as_fd(), xattrs)?;
        Ok(())
    }
}

/// Trees ship an empty `/etc` as a mount point.
fn remove_empty(base: BorrowedFd<'_>, name: &str) -> Result<(), Error> {
    match rustix::fs::unlinkat(base, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).during("remove directory", name),
    }
}
