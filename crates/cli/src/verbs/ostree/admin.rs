//! `bootroot ostree admin`: the deployments of a system. Arguments and output are those of `ostree admin`.

mod answer;
mod boot_complete;
mod cleanup;
mod config_diff;
mod deploy;
mod finalize_staged;
mod init_fs;
mod instutil;
mod kargs;
mod lock_finalization;
mod pin;
mod post_copy;
mod prepare_soft_reboot;
mod selection;
mod set_default;
mod set_origin;
mod state_overlay;
mod stateroot_init;
mod status;
mod switch;
mod system;
mod undeploy;
mod unlock;
mod upgrade;
mod upgrader;

use std::io::Write;

use clap::{Args, Subcommand};
use error_class::{Classified, ErrorClass};

use self::system::System;
pub(crate) use self::unlock::{mount_usr, tell_unlocked};
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Work on the deployments of a system, as `ostree admin` does
///
/// Without --sysroot, the system is that of the environment variable OSTREE_SYSROOT, or the running one.
#[derive(Debug, Args)]
#[command(subcommand_required = false, arg_required_else_help = true)]
pub(crate) struct Admin {
    /// Print the directory of the deployment that boots first
    #[arg(long, hide = true)]
    print_current_dir: bool,
    #[command(subcommand)]
    verb: Option<AdminVerb>,
}

#[derive(Debug, Subcommand)]
enum AdminVerb {
    #[command(hide = true)]
    BootComplete(boot_complete::BootComplete),
    Cleanup(cleanup::Cleanup),
    ConfigDiff(config_diff::ConfigDiff),
    Deploy(Box<deploy::Deploy>),
    #[command(hide = true)]
    FinalizeStaged(finalize_staged::FinalizeStaged),
    InitFs(init_fs::InitFs),
    #[command(subcommand)]
    Instutil(instutil::Instutil),
    #[command(subcommand, hide = true)]
    Kargs(kargs::Kargs),
    #[command(hide = true)]
    LockFinalization(lock_finalization::LockFinalization),
    Pin(pin::Pin),
    PostCopy(post_copy::PostCopy),
    PrepareSoftReboot(prepare_soft_reboot::PrepareSoftReboot),
    SetDefault(set_default::SetDefault),
    SetOrigin(set_origin::SetOrigin),
    #[command(hide = true)]
    StateOverlay(state_overlay::StateOverlay),
    #[command(alias = "os-init")]
    StaterootInit(stateroot_init::StaterootInit),
    Status(status::Status),
    Switch(switch::Switch),
    Undeploy(undeploy::Undeploy),
    Unlock(unlock::Unlock),
    Upgrade(upgrade::Upgrade),
}

/// Why a verb could not begin.
#[derive(Debug, thiserror::Error)]
enum AdminError {
    #[error("No \"admin\" subcommand specified")]
    NoVerb,
    #[error("Unable to find a deployment in sysroot")]
    NoDeployment,
}

impl Classified for AdminError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoVerb => ErrorClass::InvalidInput,
            Self::NoDeployment => ErrorClass::NotFound,
        }
    }
}

impl Admin {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.print_current_dir {
            return print_current_dir(context);
        }
        match self.verb.ok_or(AdminError::NoVerb)? {
            AdminVerb::BootComplete(verb) => verb.run(context),
            AdminVerb::Cleanup(verb) => verb.run(context),
            AdminVerb::ConfigDiff(verb) => verb.run(context),
            AdminVerb::Deploy(verb) => verb.run(context),
            AdminVerb::FinalizeStaged(verb) => verb.run(context),
            AdminVerb::InitFs(verb) => verb.run(context),
            AdminVerb::Instutil(verb) => verb.run(context),
            AdminVerb::Kargs(verb) => verb.run(context),
            AdminVerb::LockFinalization(verb) => verb.run(context),
            AdminVerb::Pin(verb) => verb.run(context),
            AdminVerb::PostCopy(verb) => verb.run(context),
            AdminVerb::PrepareSoftReboot(verb) => verb.run(context),
            AdminVerb::SetDefault(verb) => verb.run(context),
            AdminVerb::SetOrigin(verb) => verb.run(context),
            AdminVerb::StateOverlay(verb) => verb.run(context),
            AdminVerb::StaterootInit(verb) => verb.run(context),
            AdminVerb::Status(verb) => verb.run(context),
            AdminVerb::Switch(verb) => verb.run(context),
            AdminVerb::Undeploy(verb) => verb.run(context),
            AdminVerb::Unlock(verb) => verb.run(context),
            AdminVerb::Upgrade(verb) => verb.run(context),
        }
    }
}

fn print_current_dir(context: &Context) -> Result<Exit, Failure> {
    let system = System::open(context)?;
    let state = system.sysroot.load()?;
    let first = state.listed().first().map(|first| first.id().path());
    let path = system.path()?.join(first.ok_or(AdminError::NoDeployment)?);
    let mut out = context.results();
    writeln!(out, "{}", path.display())?;
    out.finish()?;
    Ok(Exit::Done)
}
