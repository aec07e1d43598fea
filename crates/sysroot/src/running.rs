//! The system that is running, when the sysroot is its own.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use durable::IoContext as _;
use ostree_format::Metadata;
use ostree_format::gvariant::Value;
use rustix::io::Errno;

use crate::staged::{StagedData, StagedError};
use crate::{DeploymentId, OverlayInitrd, dir};

/// Largest state file in `/run` that is read.
const MAX_STATE: u64 = 16 * 1024 * 1024;

pub(crate) const BOOTED: &str = "ostree-booted";
const STAGED: &str = "ostree/staged-deployment";
const STAGED_LOCKED: &str = "ostree/staged-deployment-locked";
const STAGED_INITRDS: &str = "ostree/staged-initrds";
/// What a soft reboot changes to, in the words of `ostree-booted`.
const NEXT_ROOT: &str = "ostree/nextroot-booted";
/// There as soon as this boot has staged something or taken up a stage of an earlier one.
const KEPT_KNOWN: &str = "ostree/bootroot-stage-known";

/// The running system: where its state is, and which directory it was booted from.
///
/// Only whoever knows that the sysroot is the running system's own may make one; then the booted
/// deployment is found and kept from harm.
#[derive(Debug)]
pub struct Running {
    run: OwnedFd,
    /// `/`, as it is mounted.
    mounted: OwnedFd,
    /// Device and inode of the deployment directory.
    root: (u64, u64),
}

impl Running {
    /// Look at `/run` and `/`. `None` when the system was not booted by OSTree.
    ///
    /// # Errors
    /// What the system said. A damaged `ostree-booted` counts as an empty one, as it was before it
    /// said anything.
    pub fn look(run: OwnedFd, mounted: BorrowedFd<'_>) -> Result<Option<Self>, durable::Error> {
        let booted = durable::read_optional(run.as_fd(), Path::new(BOOTED), MAX_STATE)?;
        let Some(booted) = booted else {
            return Ok(None);
        };
        let stat = rustix::fs::fstat(mounted).during("look at", "/")?;
        let root = backing_root(&booted).unwrap_or((stat.st_dev, stat.st_ino));
        let mounted = dir::open(mounted, ".")?;
        Ok(Some(Self { run, mounted, root }))
    }

    /// `/`, as it is mounted.
    pub(crate) fn mounted(&self) -> BorrowedFd<'_> {
        self.mounted.as_fd()
    }

    /// Whether the directory with this device and inode is the one that was booted.
    pub(crate) fn is_root(&self, device: u64, inode: u64) -> bool {
        self.root == (device, inode)
    }

    /// What is staged, if anything is.
    pub(crate) fn staged(&self) -> Result<Option<Result<StagedData, StagedError>>, durable::Error> {
        let bytes = durable::read_optional(self.run.as_fd(), Path::new(STAGED), MAX_STATE)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let mut staged = StagedData::from_bytes(&bytes);
        if let Ok(data) = &mut staged {
            // Older versions say it by a file of its own.
            data.locked |= dir::exists(self.run.as_fd(), STAGED_LOCKED)?;
        }
        Ok(Some(staged))
    }

    /// Have `data` completed at shutdown. `/run` does not outlive the system, so nothing is synced.
    pub(crate) fn write_stage(&self, data: &StagedData) -> Result<(), durable::Error> {
        dir::make_all(self.run.as_fd(), "ostree", 0o755)?;
        let bytes = data.to_bytes();
        durable::publish_no_sync(self.run.as_fd(), Path::new(STAGED), &bytes, 0o644)?;
        durable::publish_no_sync(self.run.as_fd(), Path::new(KEPT_KNOWN), b"", 0o644)?;
        if data.locked {
            let marker = Path::new(STAGED_LOCKED);
            return durable::publish_no_sync(self.run.as_fd(), marker, b"", 0o640);
        }
        dir::unlink_optional(self.run.as_fd(), STAGED_LOCKED)
    }

    /// Have additional initrds of the stage where libostree looks for them.
    pub(crate) fn write_initrds(&self, initrds: &[OverlayInitrd]) -> Result<(), durable::Error> {
        for initrd in initrds {
            dir::make_all(self.run.as_fd(), STAGED_INITRDS, 0o755)?;
            let path = format!("{STAGED_INITRDS}/{}", initrd.checksum());
            let path = Path::new(&path);
            durable::publish_no_sync(self.run.as_fd(), path, initrd.content(), 0o644)?;
        }
        Ok(())
    }

    /// Whether the description of a stage on disk belongs to this boot: `/run` knows better then.
    pub(crate) fn knows_kept_stage(&self) -> Result<bool, durable::Error> {
        dir::exists(self.run.as_fd(), KEPT_KNOWN)
    }

    /// Forget what is staged; whether anything was.
    pub(crate) fn remove_stage(&self) -> Result<bool, durable::Error> {
        let was = dir::exists(self.run.as_fd(), STAGED)?;
        dir::unlink_optional(self.run.as_fd(), STAGED)?;
        dir::unlink_optional(self.run.as_fd(), STAGED_LOCKED)?;
        Ok(was)
    }

    /// Device and inode of the deployment directory that a soft reboot changes to.
    pub(crate) fn next_root(&self) -> Result<Option<(u64, u64)>, durable::Error> {
        let noted = durable::read_optional(self.run.as_fd(), Path::new(NEXT_ROOT), MAX_STATE)?;
        Ok(noted.and_then(|noted| backing_root(&noted)))
    }

    /// Note what a soft reboot changes to.
    pub(crate) fn write_next_root(&self, root: &Metadata) -> Result<(), durable::Error> {
        let bytes = root.to_bytes();
        durable::publish_no_sync(self.run.as_fd(), Path::new(NEXT_ROOT), &bytes, 0o644)
    }

    /// Forget it; whether anything was noted.
    pub(crate) fn forget_next_root(&self) -> Result<bool, durable::Error> {
        let was = dir::exists(self.run.as_fd(), NEXT_ROOT)?;
        dir::unlink_optional(self.run.as_fd(), NEXT_ROOT)?;
        Ok(was)
    }

    /// What was noted is what was booted; whether anything was noted.
    pub(crate) fn take_over_next_root(&self) -> Result<bool, durable::Error> {
        match rustix::fs::renameat(&self.run, NEXT_ROOT, &self.run, BOOTED) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).during("rename", NEXT_ROOT),
        }
    }

    /// `/run`.
    pub(crate) fn run(&self) -> BorrowedFd<'_> {
        self.run.as_fd()
    }

    /// Whether the deployment carries this mark until the next boot, for example
    /// `unlocked-development`.
    pub(crate) fn has_mark(&self, id: &DeploymentId, mark: &str) -> Result<bool, durable::Error> {
        dir::exists(self.run.as_fd(), format!("{}/{mark}", state_dir(id)))
    }

    /// Let the deployment carry this mark until the next boot.
    pub(crate) fn mark(&self, id: &DeploymentId, mark: &str) -> Result<(), durable::Error> {
        let place = state_dir(id);
        dir::make_all(self.run.as_fd(), &place, 0o755)?;
        let path = format!("{place}/{mark}");
        durable::publish_no_sync(self.run.as_fd(), Path::new(&path), b"", 0o644)
    }
}

fn state_dir(id: &DeploymentId) -> String {
    format!("ostree/deployment-state/{}", id.directory())
}

/// The directory below what is mounted as the root, as `ostree-prepare-root` has recorded it.
fn backing_root(booted: &[u8]) -> Option<(u64, u64)> {
    let dict = Metadata::from_bytes(booted).ok()?;
    match dict.get("backing-root-device-inode")?.as_tuple()? {
        [Value::U64(device), Value::U64(inode)] => Some((*device, *inode)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    #[test]
    fn knows_its_root() {
        let scratch = tempfile::tempdir().unwrap();
        let open = || OwnedFd::from(File::open(scratch.path()).unwrap());
        assert!(Running::look(open(), open().as_fd()).unwrap().is_none());
        fs::write(scratch.path().join(BOOTED), "").unwrap();
        let stat = rustix::fs::fstat(open()).unwrap();
        let running = Running::look(open(), open().as_fd()).unwrap().unwrap();
        assert!(running.is_root(stat.st_dev, stat.st_ino));
        let mut dict = Metadata::new();
        let root = Value::Tuple(vec![Value::U64(7), Value::U64(8)]);
        dict.insert("backing-root-device-inode", root);
        fs::write(scratch.path().join(BOOTED), dict.to_bytes()).unwrap();
        let running = Running::look(open(), open().as_fd()).unwrap().unwrap();
        assert!(running.is_root(7, 8));
    }
}
