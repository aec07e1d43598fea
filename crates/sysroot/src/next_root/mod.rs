//! The next root: what a soft reboot changes to, which restarts the services and leaves the kernel as it runs.
//!
//! systemd changes to what is mounted at `/run/nextroot`. What is mounted there, and what is noted of it in `/run`, is
//! what `ostree admin prepare-soft-reboot` makes; like there, the root has to be an image of composefs. `/var` is
//! mounted by a unit of the system that comes.
//!
//! Source of the layout: libostree 2026.4 and `systemd-soft-reboot.service(8)`.

mod config;
mod mounts;
mod workshop;

use std::os::fd::{AsFd as _, OwnedFd};

use durable::{IoContext as _, crash_point};
use error_class::{Classified, ErrorClass};
use file_contexts::Policy;
use ostree_format::Metadata;
use ostree_format::gvariant::Value;
use progress::{Interrupt, Progress};

pub use config::{Composefs, InvalidRootConfig, RootConfig, RootConfigError, Transient};
pub use workshop::{NextRootMountError, Workshop, next_root_is_mounted, unmount_next_root};

use self::mounts::Places;
use crate::running::Running;
use crate::{DeployError, DeploymentId, DeploymentStatus, LoadError, Locked, Sysroot, dir};

/// The image of a deployment.
const IMAGE: &str = ".ostree.cfs";

/// Why no soft reboot was prepared. Nothing is mounted then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NextRootError {
    /// Only what runs can be rebooted.
    #[error("not booted into a deployment: there is nothing to reboot from")]
    NotBooted,
    /// It runs already.
    #[error("Cannot prepare for soft-reboot currently booted deployment {0}")]
    Booted(DeploymentId),
    /// The kernel has to start anew.
    #[error(
        "Cannot soft-reboot to deployment with different kernel state: {0} has another kernel or other arguments"
    )]
    OtherKernel(DeploymentId),
    /// The root of the deployment is no image.
    #[error(
        "soft reboot not supported without composefs: prepare-root.conf of {0} does not say that it is enabled"
    )]
    NoComposefs(DeploymentId),
    /// Whose signature counts is known in the initramfs only.
    #[error(
        "the root of {0} is mounted only when it is signed, which only its initramfs can verify: reboot instead"
    )]
    Signed(DeploymentId),
    /// Its configuration cannot be understood.
    #[error(transparent)]
    Config(#[from] RootConfigError),
    /// Something cannot be mounted.
    #[error(transparent)]
    Mount(#[from] NextRootMountError),
    /// What is deployed cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Another stage cannot be given up, or the `/etc` of a staged deployment cannot be made.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] durable::Error),
}

impl Classified for NextRootError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotBooted | Self::Booted(_) => ErrorClass::InvalidInput,
            Self::OtherKernel(_) | Self::NoComposefs(_) | Self::Signed(_) => {
                ErrorClass::Unsupported
            }
            Self::Config(error) => error.class(),
            Self::Mount(error) => error.class(),
            Self::Load(error) => error.class(),
            Self::Deploy(error) => error.class(),
            Self::Io(error) => error.class(),
        }
    }
}

impl Sysroot {
    /// It is noted before it is mounted: whoever is interrupted in between has prepared nothing.
    fn next_root_is_mounted(&self) -> Result<bool, durable::Error> {
        let run = self.running.as_ref().map(Running::run);
        run.map_or(Ok(false), next_root_is_mounted)
    }

    /// Whether this deployment is what a soft reboot changes to.
    pub(crate) fn is_next_root(&self, id: &DeploymentId) -> Result<bool, durable::Error> {
        let Some(next) = self.running.as_ref().map(Running::next_root).transpose()? else {
            return Ok(false);
        };
        let stat = dir::stat_optional(self.dir(), id.path())?;
        let is_noted = next.is_some() && stat.map(|stat| (stat.st_dev, stat.st_ino)) == next;
        Ok(is_noted && self.next_root_is_mounted()?)
    }
}

impl Locked<'_> {
    /// Mount the root of a deployment where a soft reboot changes to it. `composefs` is what the kernel's command
    /// line says in place of the configuration (`ostree.prepare-root.composefs=`). A stage of another deployment is
    /// given up; of a staged one, `/etc` is made.
    ///
    /// # Errors
    /// [`NextRootError`]; what was prepared before is taken away then.
    pub fn prepare_soft_reboot(
        &self,
        id: &DeploymentId,
        composefs: Option<&str>,
        policy: Option<&Policy>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), NextRootError> {
        let running = self.running.as_ref().ok_or(NextRootError::NotBooted)?;
        let staged = self.check_soft_reboot(id)?;
        let deployment = dir::open(self.dir(), id.path())?;
        let config = RootConfig::read(deployment.as_fd(), composefs)?;
        match config.composefs {
            // Where there may be an image or not is told apart at boot.
            Composefs::No | Composefs::Maybe => return Err(NextRootError::NoComposefs(id.clone())),
            Composefs::Signed => return Err(NextRootError::Signed(id.clone())),
            Composefs::Yes | Composefs::Verity => {}
        }
        self.clear_soft_reboot()?;
        match staged {
            true => self.make_staged_etc(id, policy, progress, interrupt)?,
            false => {
                self.discard_stage()?;
            }
        }
        let mounted = self.mount_next_root(running, id, &deployment, &config);
        if mounted.is_err() {
            // What counts is the first failure.
            let _unmounted = self.clear_soft_reboot();
        }
        mounted.and_then(|()| Ok(self.touch()?))
    }

    fn mount_next_root(
        &self,
        running: &Running,
        id: &DeploymentId,
        deployment: &OwnedFd,
        config: &RootConfig,
    ) -> Result<(), NextRootError> {
        let workshop = Workshop::open(running.run())?;
        let places = Places {
            workshop: &workshop,
            physical: self.dir(),
            deployment: deployment.as_fd(),
        };
        let mounted = places.assemble(config).map_err(NextRootError::from);
        let mounted = mounted.and_then(|etc| {
            crash_point("sysroot:next-root-assembled");
            let stat = rustix::fs::fstat(deployment).during("look at", id.path())?;
            let root = (stat.st_dev, stat.st_ino);
            running.write_next_root(&describe(root, config, etc))?;
            crash_point("sysroot:next-root-noted");
            Ok(workshop.publish()?)
        });
        if mounted.is_err() {
            let _closed = workshop.close();
        }
        mounted
    }

    /// Take away what a soft reboot would change to; whether anything was there.
    ///
    /// # Errors
    /// What the system said.
    pub fn clear_soft_reboot(&self) -> Result<bool, durable::Error> {
        let Some(running) = &self.running else {
            return Ok(false);
        };
        // In this order: what is mounted is always noted.
        let was_mounted = unmount_next_root(running.run())?;
        let was_noted = running.forget_next_root()?;
        if was_mounted || was_noted {
            self.touch()?;
        }
        Ok(was_noted)
    }

    /// After a soft reboot, what was the next root is the one that runs; whether there was a soft reboot.
    ///
    /// # Errors
    /// What the system said.
    pub fn complete_soft_reboot(&self) -> Result<bool, durable::Error> {
        match &self.running {
            Some(running) => running.take_over_next_root(),
            None => Ok(false),
        }
    }

    /// Take away the next root when its deployment is gone.
    pub(crate) fn clear_lost_next_root(&self) -> Result<(), durable::Error> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let Some(next) = running.next_root()? else {
            return Ok(());
        };
        for stateroot in self.stateroots()? {
            let deployments = format!("{}/deploy", stateroot.path());
            for (name, _) in dir::names_below(self.dir(), &deployments)? {
                let stat = dir::stat_optional(self.dir(), format!("{deployments}/{name}"))?;
                if stat.map(|stat| (stat.st_dev, stat.st_ino)) == Some(next) {
                    return Ok(());
                }
            }
        }
        self.clear_soft_reboot()?;
        Ok(())
    }

    /// Whether it is staged that is to be the next root.
    fn check_soft_reboot(&self, id: &DeploymentId) -> Result<bool, NextRootError> {
        let status = self.status()?;
        let is_it = |other: &&DeploymentStatus| other.id() == *id;
        let booted = status.deployments.iter().find(|other| other.booted);
        let found = status.deployments.iter().find(is_it);
        let (Some(_), Some(found)) = (booted, found) else {
            return Err(NextRootError::NotBooted);
        };
        match (found.booted, found.same_kernel) {
            (true, _) => Err(NextRootError::Booted(id.clone())),
            (false, false) => Err(NextRootError::OtherKernel(id.clone())),
            (false, true) => Ok(found.staged),
        }
    }

    /// The `/etc` of a staged deployment, which otherwise is made at shutdown: then the last changes go into it.
    fn make_staged_etc(
        &self,
        id: &DeploymentId,
        policy: Option<&Policy>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<(), NextRootError> {
        self.reopen_tree(id)?;
        Ok(self.make_etc(id, policy, progress, interrupt)?)
    }
}

/// What is noted of a root that is mounted, for the system that comes.
pub(crate) fn describe(root: (u64, u64), config: &RootConfig, etc: Option<String>) -> Metadata {
    let mut noted = Metadata::new();
    let place = Value::Tuple(vec![Value::U64(root.0), Value::U64(root.1)]);
    noted.insert("backing-root-device-inode", place);
    let is = |transient| Value::Bool(transient);
    noted.insert("root.transient", is(config.root != Transient::No));
    let read_only = config.root == Transient::ReadOnly;
    noted.insert("root.transient-ro", is(read_only));
    noted.insert("composefs", is(true));
    noted.insert("composefs.verity", is(config.composefs.needs_verity()));
    if let Some(etc) = etc {
        noted.insert("transient-etc", Value::Str(format!("/run/{etc}")));
    }
    noted.insert("sysroot-ro", is(config.sysroot_readonly));
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `ostree admin prepare-soft-reboot` 2026.4 notes of a deployment with this device and this inode.
    const BY_OSTREE: &str = concat!(
        "6261636b696e672d726f6f742d6465766963652d696e6f64650000000000000000fe000000000000",
        "4d309b000000000000287474291a0000726f6f742e7472616e7369656e7400000000620f00000000",
        "726f6f742e7472616e7369656e742d726f000000000000000000621200000000636f6d706f736566",
        "73000000000000000100620a00000000636f6d706f736566732e7665726974790000000000000000",
        "0000621100000000737973726f6f742d726f0000000000000100620b364c6c84a4bc",
    );

    #[test]
    fn what_is_noted_is_what_libostree_notes() {
        let config = RootConfig {
            composefs: Composefs::Yes,
            root: Transient::No,
            transient_etc: false,
            sysroot_readonly: true,
            keypath: String::new(),
        };
        let noted = describe((0xfe00, 0x009b_304d), &config, None);
        let bytes = noted.to_bytes();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, BY_OSTREE);
    }
}
