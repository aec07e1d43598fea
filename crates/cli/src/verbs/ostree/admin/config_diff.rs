//! `bootroot ostree admin config-diff`

use clap::Args;
use sysroot::StaterootName;

use super::selection::{self, SelectionError};
use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::etc;

/// Show what was changed in /etc since it was deployed
#[derive(Debug, Args)]
pub(crate) struct ConfigDiff {
    /// The stateroot to work on, if not that of the running system
    #[arg(long, value_name = "STATEROOT")]
    os: Option<StaterootName>,
}

impl ConfigDiff {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open(context)?;
        let state = system.sysroot.load()?;
        let stateroot = selection::stateroot(&state, self.os.as_ref())?;
        let deployment = state.merge_deployment(&stateroot);
        let deployment = deployment.ok_or(SelectionError::NothingDeployed(stateroot))?;
        let changes = system.sysroot.etc_changes(&deployment.id)?;
        let mut out = context.results();
        etc::print(&mut out, &changes)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
