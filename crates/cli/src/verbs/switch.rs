//! `bootroot switch`

use clap::Args;
use oci::reference::OstreeImageReference;

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
    #[command(flatten)]
    follow: FollowArgs,
}

impl Switch {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let sysroot = self.follow.sysroot(context)?;
        let options = self.follow.options(&sysroot);
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
