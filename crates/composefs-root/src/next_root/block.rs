//! What keeps the running system from changing to a deployment without starting the kernel anew.

use std::collections::BTreeSet;
use std::os::fd::AsFd as _;

use composefs_format::Digest;
use error_class::{Classified, ErrorClass};

use crate::mount::is_verified;
use crate::{RootDeployment, RootEntry, RootError, RootOrigin, Roots, RunningRoot};

/// Why there can be no soft reboot to a deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SoftRebootBlock {
    /// Only what runs can be rebooted.
    #[error("no deployment runs: there is nothing to reboot from")]
    NotBooted,
    /// It runs already.
    #[error("deployment {0} is the one that runs: a soft reboot changes to another one")]
    Booted(Box<Digest>),
    /// It must not boot yet.
    #[error("deployment {0} waits for a release: `bootroot upgrade --from-downloaded` releases it")]
    Held(Box<Digest>),
    /// The kernel has to start anew.
    #[error("deployment {0} has another kernel or initramfs than what runs: reboot instead")]
    OtherKernel(Box<Digest>),
    /// The kernel has to be told other words.
    #[error(
        "deployment {id} has other kernel arguments than what runs ({differing}): reboot instead"
    )]
    OtherArguments {
        /// The deployment.
        id: Box<Digest>,
        /// Those that one of them has and the other has not.
        differing: String,
    },
    /// The kernel demands of the running root what the other one has not.
    #[error(
        "the kernel verifies the root that runs, and could not verify that of deployment {0}, which is not sealed: \
         reboot instead, or deploy it again"
    )]
    NotSealed(Box<Digest>),
}

impl Classified for SoftRebootBlock {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotBooted | Self::Booted(_) | Self::Held(_) => ErrorClass::InvalidInput,
            Self::OtherKernel(_) | Self::OtherArguments { .. } | Self::NotSealed(_) => {
                ErrorClass::Unsupported
            }
        }
    }
}

impl Roots {
    /// What keeps the running system from a soft reboot to a deployment; `None` when nothing does.
    ///
    /// # Errors
    /// [`RootError`] when that cannot be told.
    pub fn soft_reboot_block(
        &self,
        next: &RootDeployment,
    ) -> Result<Option<SoftRebootBlock>, RootError> {
        let id = || Box::new(next.id);
        let Some(running) = &self.running else {
            return Ok(Some(SoftRebootBlock::NotBooted));
        };
        if running.argument.digest == next.id {
            return Ok(Some(SoftRebootBlock::Booted(id())));
        }
        if next.locked {
            return Ok(Some(SoftRebootBlock::Held(id())));
        }
        if !self.has_running_kernel(running, next)? {
            return Ok(Some(SoftRebootBlock::OtherKernel(id())));
        }
        if let Some(differing) = self.other_arguments(running, next)? {
            let id = id();
            return Ok(Some(SoftRebootBlock::OtherArguments { id, differing }));
        }
        let sealed = running.argument.unverified || is_verified(self.physical.as_fd(), &next.id);
        Ok((!sealed).then(|| SoftRebootBlock::NotSealed(id())))
    }

    /// By the SHA-256 of kernel and initramfs; of what is not known it is another one.
    fn has_running_kernel(
        &self,
        running: &RunningRoot,
        next: &RootDeployment,
    ) -> Result<bool, RootError> {
        let known = |origin: &RootOrigin| origin.boot_digest();
        let origin = self.origin(&running.argument.digest)?;
        let there = origin.as_ref().and_then(known);
        Ok(there.is_some() && there == next.origin.as_ref().and_then(known))
    }

    /// How the arguments differ from those of the running deployment, or from those that the kernel was really told:
    /// the entry of the running one may have changed since.
    fn other_arguments(
        &self,
        running: &RunningRoot,
        next: &RootDeployment,
    ) -> Result<Option<String>, RootError> {
        let menu = self.menu()?;
        let of_running = |entry: &&RootEntry| entry.id == Some(running.argument.digest);
        let Some(entry) = menu.iter().find(of_running) else {
            return Ok(Some("the running one has no boot entry".to_owned()));
        };
        let Some(next) = &next.entry else {
            return Ok(Some("it has no boot entry".to_owned()));
        };
        let (old, new) = (entry.own_args().to_strings(), next.own_args().to_strings());
        let differing: BTreeSet<_> = [
            only_in(&new, &old),
            only_in(&old, &new),
            only_in(&new, &running.kernel_args.to_strings()),
        ]
        .into_iter()
        .flatten()
        .collect();
        match (differing.is_empty(), old == new) {
            (true, true) => Ok(None),
            (true, false) => Ok(Some("in another order".to_owned())),
            (false, _) => Ok(Some(Vec::from_iter(differing).join(" "))),
        }
    }
}

fn only_in(these: &[String], others: &[String]) -> Vec<String> {
    let only = these.iter().filter(|arg| !others.contains(arg));
    only.cloned().collect()
}
