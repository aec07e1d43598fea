//! The system that an `admin` verb is about, and its lock.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use ostree::PruneOptions;
use sysroot::{Locked, Sysroot, SysrootLockError};

use crate::context::Context;
use crate::outcome::Failure;
use crate::place::Place;

/// How long is waited before somebody who waits is told so.
const SILENCE: Duration = Duration::from_millis(100);
/// How often.
const ROUND: Duration = Duration::from_secs(3);

/// The system that an `admin` verb is about.
pub(super) struct System {
    place: Place,
    pub(super) sysroot: Sysroot,
}

impl System {
    /// For looking.
    pub(super) fn open(context: &Context) -> Result<Self, Failure> {
        let place = context.place().of_admin();
        let sysroot = place.open()?.sysroot()?;
        Ok(Self { place, sysroot })
    }

    /// For changing something: `/sysroot` of a running system may be mounted read-only.
    pub(super) fn open_writable(context: &Context) -> Result<Self, Failure> {
        let place = context.place().of_admin();
        place.make_writable()?;
        let sysroot = place.open()?.sysroot()?;
        Ok(Self { place, sysroot })
    }

    /// The absolute path of the physical root.
    pub(super) fn path(&self) -> Result<PathBuf, Failure> {
        Ok(std::path::absolute(self.place.root_path())?)
    }

    /// Take the lock, however long that takes.
    pub(super) fn lock(&self, context: &Context) -> Result<Locked<'_>, Failure> {
        let mut patience = SILENCE;
        loop {
            match self.sysroot.lock(patience) {
                Ok(locked) => return Ok(locked),
                Err(SysrootLockError::Busy { .. }) => context.interrupt().check()?,
                Err(error) => return Err(error.into()),
            }
            let mut out = context.results();
            writeln!(out, "Waiting for sysroot lock...")?;
            out.finish()?;
            patience = ROUND;
        }
    }

    /// Remove objects that no ref leads to.
    pub(super) fn prune(&self, context: &Context) -> Result<(), Failure> {
        let unreachable = PruneOptions::without_ancestors();
        let (progress, interrupt) = (context.progress(), context.interrupt());
        self.sysroot
            .repo()
            .prune(&unreachable, progress, interrupt)?;
        Ok(())
    }
}
