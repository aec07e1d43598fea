//! `bootroot reset`

use std::io::Write;

use clap::Args;
use host::{ResetDone, ResetOptions};
use oci::reference::OstreeImageReference;
use sysroot::StaterootName;

use super::changes::{self, ChangeArgs};
use super::reference;
use super::source::SourceOptions;
use crate::context::Context;
use crate::environment;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};

/// Back to how the system came: deploy into a new stateroot, with neither /etc nor /var of the old one
///
/// The old stateroot stays until it is undeployed, and can be booted until then. Carried over are the kernel arguments
/// by which the root file system is found, and the line of /etc/fstab for /boot. Where the root is an image of composefs, the
/// /etc of the same image is kept beside the old /var, in /sysroot/state/os, and cannot be booted; both go with
/// `bootroot stateroot remove`.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// The image [default: the one that is followed, as it is deployed]
    #[arg(value_name = "IMGREF", value_parser = reference::followed_option)]
    image: Option<OstreeImageReference>,
    /// The new stateroot [default: the old name with a number]
    #[arg(long, value_name = "NAME")]
    stateroot: Option<StaterootName>,
    /// A kernel argument beside those of the image, once for each
    #[arg(long, value_name = "KARG", allow_hyphen_values = true)]
    karg: Vec<String>,
    /// Leave out the kernel arguments by which the root file system is found
    #[arg(long)]
    no_root_kargs: bool,
    /// Reboot into it when it was deployed
    #[arg(long, conflicts_with = "dry_run")]
    apply: bool,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Reset {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = self.change.backend(context)?;
        let access = self.source.access_at(context.place())?;
        let mut options = ResetOptions::new(std::env::consts::ARCH);
        options.stateroot.clone_from(&self.stateroot);
        options.image.clone_from(&self.image);
        options.kernel_arguments.clone_from(&self.karg);
        options.no_root_arguments = self.no_root_kargs;
        options.dry_run = self.change.dry_run;
        options.now = environment::now();
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let done = backend.reset(&access, &options, progress, interrupt)?;
        if done.made {
            let message = format!(
                "Deployed {} into the new stateroot {}",
                done.image, done.stateroot
            );
            let fields = [("BOOTROOT_IMAGE", &*done.image)];
            context.journal().tell(Event::Reset, &message, &fields);
        }
        self.report(context, &done)?;
        if self.apply && backend.is_running() {
            environment::reboot()?;
        }
        Ok(Exit::Done)
    }

    fn report(&self, context: &Context, done: &ResetDone) -> Result<(), Failure> {
        let mut out = context.results();
        if self.change.format.json {
            out.json(done)?;
            return Ok(());
        }
        let how = if done.made {
            "deployed"
        } else {
            "to be deployed"
        };
        writeln!(
            out,
            "{}: {how} into the new stateroot {}",
            done.image, done.stateroot
        )?;
        if let Some(arguments) = &done.kernel_arguments {
            writeln!(out, "  arguments:  {}", arguments.join(" "))?;
        }
        writeln!(out, "  left as is: {}", done.left)?;
        if let Some(change) = &done.change {
            changes::print(&mut out, change)?;
        }
        out.finish()?;
        Ok(())
    }
}
