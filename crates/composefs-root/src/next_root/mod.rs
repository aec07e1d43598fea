//! The next root: what a soft reboot changes to, which restarts the services and leaves the kernel as it runs.
//!
//! systemd changes to what is mounted at `/run/nextroot`. It is mounted as in an initramfs, and appears there in one
//! step. Which deployment it is is noted in `/run`; the note counts while something is mounted.

mod block;
mod etc;

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use composefs_format::Digest;
use durable::crash_point;
use sysroot::{Workshop, next_root_is_mounted, unmount_next_root};

pub use block::SoftRebootBlock;

use crate::layout::{NEXT_ROOT, SETUP_CONFIG};
use crate::roots::Locked;
use crate::setup::{Assembly, SetupConfig, assemble};
use crate::tree::ImageRoot;
use crate::{RootArgument, RootError, Roots, RunningRoot};

/// Largest note that is read.
const MAX_NOTE: u64 = 4096;

impl Roots {
    /// Whether this deployment is what a soft reboot changes to.
    ///
    /// # Errors
    /// What the system said.
    pub fn is_next_root(&self, id: &Digest) -> Result<bool, RootError> {
        let Some(run) = self.run() else {
            return Ok(false);
        };
        let note = durable::read_optional(run, Path::new(NEXT_ROOT), MAX_NOTE)?;
        let is_noted = note.is_some_and(|note| note == id.to_string().as_bytes());
        Ok(is_noted && next_root_is_mounted(run)?)
    }

    /// Mount the root of a deployment where a soft reboot changes to it, as an initramfs would. Where the kernel
    /// verifies the running root, it verifies that one, too. A stage of another deployment is given up; which that was.
    /// `/etc` of a staged deployment is made, and made again when it is completed.
    ///
    /// # Errors
    /// [`RootError::SoftReboot`] says why it cannot be; what was prepared before stays then. Whenever something else
    /// fails, nothing is prepared.
    pub fn prepare_soft_reboot(&self, id: &Digest) -> Result<Option<Digest>, RootError> {
        let locked = self.lock()?;
        let mut found = self.deployments()?.into_iter();
        let next = found.find(|one| one.id == *id);
        let next = next.ok_or_else(|| RootError::NoDeployment(id.to_string()))?;
        if let Some(block) = self.soft_reboot_block(&next)? {
            return Err(block.into());
        }
        let Some(running) = &self.running else {
            return Err(SoftRebootBlock::NotBooted.into());
        };
        locked.clear_next_root()?;
        let image = self.open_image(id)?;
        let config = setup_config(&image, running)?;
        let given_up = self.staged()?.filter(|_| !next.staged);
        match next.staged {
            true => locked.renew_etc(id, &image, &running.argument.digest)?,
            false => locked.give_up_stage()?,
        }
        let told = next.entry.map(|entry| entry.kernel_args());
        let told = RootArgument::find(&told.unwrap_or_default(), None)?;
        let argument = RootArgument {
            digest: *id,
            unverified: running.argument.unverified && told.is_none_or(|told| told.unverified),
        };
        locked.mount_next_root(running, &argument, &config)?;
        Ok(given_up.map(|staged| staged.id))
    }

    /// Take away what a soft reboot would change to; whether anything was prepared.
    ///
    /// # Errors
    /// What the system said.
    pub fn clear_soft_reboot(&self) -> Result<bool, RootError> {
        self.lock()?.clear_next_root()
    }
}

/// As the file says that the dracut module would take along from this image.
fn setup_config(image: &ImageRoot, running: &RunningRoot) -> Result<SetupConfig, RootError> {
    let config = SetupConfig::parse(&image.text(SETUP_CONFIG)?)?;
    Ok(config.with_volatile(running.kernel_args.last_value("systemd.volatile")))
}

impl Locked<'_> {
    fn mount_next_root(
        &self,
        running: &RunningRoot,
        argument: &RootArgument,
        config: &SetupConfig,
    ) -> Result<(), RootError> {
        let run = running.run.as_fd();
        let workshop = Workshop::open(run)?;
        let mounted = self.put_together(&workshop, run, argument, config);
        if mounted.is_err() {
            // What counts is the first failure.
            let _closed = workshop.close();
            let _unmounted = self.clear_next_root();
        }
        mounted
    }

    fn put_together(
        &self,
        workshop: &Workshop<'_>,
        run: BorrowedFd<'_>,
        argument: &RootArgument,
        config: &SetupConfig,
    ) -> Result<(), RootError> {
        let (target, scratch) = (workshop.root()?, workshop.scratch()?);
        let left_out = assemble(&Assembly {
            physical: self.roots.physical.as_fd(),
            target: target.as_fd(),
            scratch: scratch.as_fd(),
            argument,
            config,
        })?;
        if let Some(left_out) = left_out {
            return Err(RootError::LeftOut(Box::new(left_out)));
        }
        crash_point("roots:next-root-assembled");
        durable::create_dir_all(run, Path::new("composefs"), 0o755)?;
        let note = argument.digest.to_string();
        durable::publish_no_sync(run, Path::new(NEXT_ROOT), note.as_bytes(), 0o644)?;
        crash_point("roots:next-root-noted");
        Ok(workshop.publish()?)
    }

    /// Take the next root away; whether one was prepared.
    pub(crate) fn clear_next_root(&self) -> Result<bool, RootError> {
        let Some(run) = self.roots.run() else {
            return Ok(false);
        };
        // In this order: what is mounted is always noted.
        let was_mounted = unmount_next_root(run)?;
        durable::remove_all(run, Path::new(NEXT_ROOT))?;
        Ok(was_mounted)
    }
}
