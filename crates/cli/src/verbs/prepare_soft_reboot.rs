//! `bootroot prepare-soft-reboot`

use std::io::Write;

use clap::Args;
use host::Selector;

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::soft_reboot;

/// Let a soft reboot change to a deployment: services start anew, the kernel runs on
///
/// Its root is mounted at /run/nextroot, where `systemctl soft-reboot` looks for it. It must have the kernel and the
/// arguments that are running, and its root must be an image of composefs: of deployments of OSTree, prepare-root.conf says
/// so. Where the kernel verifies the running root without OSTree, it must be able to verify the next one. A stage of another
/// deployment is given up; whatever is staged or undone afterwards takes this back.
#[derive(Debug, Args)]
pub(crate) struct PrepareSoftReboot {
    /// The deployment: its index, `pending`, `rollback`, or the digest of its image or commit, which may be
    /// cut short
    #[arg(value_name = "DEPLOYMENT", required_unless_present = "reset")]
    deployment: Option<Selector>,
    /// Reboot softly when it is prepared
    #[arg(long, conflicts_with = "reset")]
    reboot: bool,
    /// Take back what was prepared
    #[arg(long, conflicts_with = "deployment")]
    reset: bool,
}

impl PrepareSoftReboot {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.place().make_writable()?;
        let backend = context.place().backend()?;
        let mut out = context.results();
        if let Some(deployment) = &self.deployment {
            let id = soft_reboot::prepare(context, &*backend, deployment)?;
            writeln!(out, "a soft reboot changes to {id}")?;
        } else if backend.clear_soft_reboot()? {
            writeln!(out, "no soft reboot is prepared any more")?;
        } else {
            writeln!(out, "no soft reboot was prepared")?;
        }
        out.finish()?;
        if self.reboot {
            environment::soft_reboot()?;
        }
        Ok(Exit::Done)
    }
}
