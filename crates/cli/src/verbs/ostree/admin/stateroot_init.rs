//! `bootroot ostree admin stateroot-init`

use std::io::Write;

use clap::Args;
use sysroot::StaterootName;

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Make an empty stateroot
#[derive(Debug, Args)]
pub(crate) struct StaterootInit {
    /// The name of the new stateroot
    #[arg(value_name = "STATEROOT")]
    name: StaterootName,
}

impl StaterootInit {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        system.lock(context)?.init_stateroot(&self.name)?;
        let mut out = context.results();
        writeln!(
            out,
            "ostree/deploy/{} initialized as OSTree stateroot",
            self.name
        )?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
