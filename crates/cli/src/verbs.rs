//! What the command can do: one file per verb. What is here only dispatches.

mod auth;
mod changes;
mod cleanup;
mod completions;
mod composefs;
mod container;
mod deploy;
mod edit;
mod etc;
mod finalize_staged;
mod following;
mod fsck;
mod image;
mod kargs;
mod man;
mod osbuild;
mod ostree;
mod pin;
mod prepare_soft_reboot;
mod reference;
mod reset;
mod rollback;
mod setup_root;
mod source;
mod stateroot;
mod status;
mod storage;
mod switch;
mod undeploy;
mod upgrade;
mod usr_overlay;

use clap::Subcommand;

pub(crate) use self::ostree::version;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// What the command can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Pull, list, compare, check and remove container images
    #[command(subcommand)]
    Image(image::Image),
    /// Wrap commits into container images, and take them out again
    #[command(subcommand)]
    Container(container::Container),
    /// Find out what registries make of us
    #[command(subcommand)]
    Auth(auth::Auth),
    Deploy(deploy::Deploy),
    Status(status::Status),
    Upgrade(upgrade::Upgrade),
    Switch(switch::Switch),
    Edit(Box<edit::Edit>),
    Rollback(rollback::Rollback),
    Reset(Box<reset::Reset>),
    #[command(visible_alias = "usroverlay")]
    UsrOverlay(usr_overlay::UsrOverlay),
    Kargs(kargs::Kargs),
    PrepareSoftReboot(prepare_soft_reboot::PrepareSoftReboot),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
    Undeploy(undeploy::Undeploy),
    Cleanup(cleanup::Cleanup),
    /// Look at the configuration of the system
    #[command(subcommand)]
    Etc(etc::Etc),
    #[command(subcommand)]
    Stateroot(stateroot::Stateroot),
    #[command(subcommand)]
    Storage(storage::Storage),
    #[command(subcommand)]
    Composefs(composefs::Composefs),
    Fsck(fsck::Fsck),
    FinalizeStaged(finalize_staged::FinalizeStaged),
    SetupRoot(setup_root::SetupRoot),
    /// Work on the OSTree repository itself, as the `ostree` command does
    #[command(subcommand)]
    Ostree(ostree::Ostree),
    #[command(subcommand)]
    Osbuild(osbuild::Osbuild),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Verb {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Image(verb) => verb.run(context),
            Self::Container(verb) => verb.run(context),
            Self::Auth(verb) => verb.run(context),
            Self::Ostree(verb) => verb.run(context),
            Self::Deploy(verb) => verb.run(context),
            Self::Status(verb) => verb.run(context),
            Self::Upgrade(verb) => verb.run(context),
            Self::Switch(verb) => verb.run(context),
            Self::Edit(verb) => verb.run(context),
            Self::Rollback(verb) => verb.run(context),
            Self::Reset(verb) => verb.run(context),
            Self::UsrOverlay(verb) => verb.run(context),
            Self::Kargs(verb) => verb.run(context),
            Self::PrepareSoftReboot(verb) => verb.run(context),
            Self::Pin(verb) => verb.run(context),
            Self::Unpin(verb) => verb.run(context),
            Self::Undeploy(verb) => verb.run(context),
            Self::Cleanup(verb) => verb.run(context),
            Self::Etc(verb) => verb.run(context),
            Self::Stateroot(verb) => verb.run(context),
            Self::Storage(verb) => verb.run(context),
            Self::Composefs(verb) => verb.run(context),
            Self::Fsck(verb) => verb.run(context),
            Self::FinalizeStaged(verb) => verb.run(context),
            Self::SetupRoot(verb) => verb.run(context),
            Self::Osbuild(verb) => verb.run(context),
            Self::Completions(verb) => verb.run(context),
            Self::Man(verb) => verb.run(context),
        }
    }
}
