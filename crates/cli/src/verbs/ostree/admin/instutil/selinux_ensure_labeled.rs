//! `bootroot ostree admin instutil selinux-ensure-labeled`

use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use clap::Args;
use sysroot::label_missing;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;
use crate::verbs::ostree::admin::AdminError;
use crate::verbs::ostree::admin::system::System;

/// Give what has no SELinux label the one that the policy of the first deployment has for it
#[derive(Debug, Args)]
pub(crate) struct SelinuxEnsureLabeled {
    /// The directory to go through [default: the deployment]
    #[arg(value_name = "SUBPATH", requires = "prefix")]
    path: Option<PathBuf>,
    /// Where SUBPATH is in the system, as the policy sees it
    prefix: Option<String>,
}

impl SelinuxEnsureLabeled {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let state = system.sysroot.load()?;
        let listed = state.listed();
        let first = listed.first().ok_or(AdminError::NoDeployment)?.id();
        let policy = host::policy_of_commit(system.sysroot.repo(), &first.commit)?;
        let deployment = system.path()?.join(first.path());
        let path = self.path.unwrap_or(deployment);
        let prefix = self.prefix.unwrap_or_default();
        let prefix = prefix.trim_matches('/');
        let mut out = context.results();
        if let Some(policy) = policy {
            let dir = open_dir("the directory to be labelled", &path)?;
            for (below, place, label) in label_missing(dir.as_fd(), prefix, &policy)? {
                let shown = path.join(below);
                writeln!(
                    out,
                    "Set label of '{}' (as '{place}') to '{label}'",
                    shown.display()
                )?;
            }
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}
