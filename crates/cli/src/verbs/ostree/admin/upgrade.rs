//! `bootroot ostree admin upgrade`

use std::io::Write;

use clap::Args;
use error_class::{Classified, ErrorClass};
use sysroot::StaterootName;

use super::system::System;
use super::upgrader::{Completing, Fetching, Upgrader};
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

/// Deploy the newest commit of what is followed, if there is a newer one
#[derive(Debug, Args)]
#[command(args_override_self = true)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent switches"
)]
pub(crate) struct Upgrade {
    /// The stateroot to work on, if not that of the running system
    #[arg(long, alias = "stateroot", value_name = "STATEROOT")]
    os: Option<StaterootName>,
    /// Reboot if something newer was deployed
    #[arg(short, long)]
    reboot: bool,
    /// Have the new kernel take over at the next reboot, without the firmware
    #[arg(short, long)]
    kexec: bool,
    /// Accept a commit that is older than the deployed one
    #[arg(long)]
    allow_downgrade: bool,
    /// The commit to deploy, instead of the newest
    #[arg(long, value_name = "CHECKSUM")]
    override_commit: Option<String>,
    /// Fetch, and deploy nothing
    #[arg(long)]
    pull_only: bool,
    /// Deploy what is there, and fetch nothing
    #[arg(long)]
    deploy_only: bool,
    /// Let the system complete it when it shuts down
    #[arg(long)]
    stage: bool,
}

/// Options that exclude each other.
#[derive(Debug, thiserror::Error)]
#[error("Cannot simultaneously specify --pull-only and {0}")]
struct Both(&'static str);

impl Classified for Both {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Upgrade {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let excluded = [
            (self.deploy_only, "--deploy-only"),
            (self.reboot, "--reboot"),
            (self.kexec, "--kexec"),
        ];
        if let Some((_, other)) = excluded.iter().find(|(given, _)| self.pull_only && *given) {
            return Err(Both(other).into());
        }
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let mut upgrader = Upgrader::new(&locked.load()?, self.os.as_ref())?;
        upgrader.check_configured()?;
        upgrader.origin = upgrader.origin.for_successor();
        if let Some(commit) = &self.override_commit {
            let file = upgrader.origin.file_mut();
            file.set("origin", "override-commit", commit);
        }
        let how = Fetching {
            allow_older: self.allow_downgrade,
            only_local: self.deploy_only,
        };
        let Some(commit) = upgrader.fetch(context, locked.repo(), how)? else {
            let mut out = context.results();
            writeln!(out, "No update available.")?;
            out.finish()?;
            return Ok(Exit::Done);
        };
        if !self.pull_only {
            let stage = self.stage || environment::stages_deployments();
            let kexec = self.kexec;
            upgrader.deploy(context, &locked, commit, Completing { stage, kexec })?;
            system.prune(context)?;
        }
        if self.reboot && locked.is_running() {
            environment::reboot()?;
        }
        Ok(Exit::Done)
    }
}
