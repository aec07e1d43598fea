//! `bootroot switch`

use clap::Args;
use oci::reference::OstreeImageReference;
use sysroot::StaterootName;

use super::following::FollowArgs;
use super::reference;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Follow another image from now on: fetch it and deploy it
///
/// See `bootroot image pull --help` for IMGREF. /etc and kernel arguments are carried over as in an upgrade.
#[derive(Debug, Args)]
pub(crate) struct Switch {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    /// The stateroot [default: that of the running deployment]
    #[arg(long, visible_alias = "os", value_name = "NAME")]
    stateroot: Option<StaterootName>,
    #[command(flatten)]
    follow: FollowArgs,
}

impl Switch {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let sysroot = self.follow.sysroot(context)?;
        let mut options = self.follow.options(&sysroot);
        options.stateroot.clone_from(&self.stateroot);
        let access = self.follow.source.access()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let upgraded = host::switch(
            &sysroot,
            &self.image,
            &access,
            &options,
            progress,
            interrupt,
        )?;
        self.follow.finish(context, &sysroot, &upgraded)
    }
}
