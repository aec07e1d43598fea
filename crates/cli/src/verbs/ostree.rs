//! `bootroot ostree`: the repository itself. Arguments and output are those of the `ostree` command.

mod admin;
mod cat;
mod checkout;
mod checksum;
mod commit;
mod config;
mod diff;
mod durability;
mod export;
mod fsck;
mod gpg_sign;
mod init;
mod log;
mod ls;
mod prune;
mod pull;
mod pull_local;
mod refs;
mod remote;
mod remote_access;
mod reset;
mod rev_parse;
mod selinux;
mod show;
mod sign;
mod signatures;
mod sizes;
mod static_delta;
mod summary;
mod variant;
pub(crate) mod version;
mod when;

use clap::Subcommand;

pub(crate) use self::admin::{mount_usr, tell_unlocked};

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Work on the OSTree repository itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Ostree {
    Admin(admin::Admin),
    Cat(cat::Cat),
    Checkout(Box<checkout::Checkout>),
    Checksum(checksum::Checksum),
    Commit(Box<commit::Commit>),
    Config(config::Config),
    /// Wrap commits into container images, and take them out again
    #[command(subcommand)]
    Container(super::container::Container),
    Diff(diff::Diff),
    Export(export::Export),
    Fsck(fsck::Fsck),
    GpgSign(gpg_sign::GpgSign),
    Init(init::Init),
    Log(log::Log),
    Ls(ls::Ls),
    Prune(prune::Prune),
    Pull(Box<pull::Pull>),
    PullLocal(pull_local::PullLocal),
    Refs(refs::Refs),
    #[command(subcommand)]
    Remote(remote::RemoteVerb),
    Reset(reset::Reset),
    RevParse(rev_parse::RevParse),
    Show(show::Show),
    Sign(sign::Sign),
    #[command(subcommand)]
    StaticDelta(static_delta::StaticDelta),
    Summary(summary::Summary),
}

impl Ostree {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Admin(verb) => verb.run(context),
            Self::Cat(verb) => verb.run(context),
            Self::Checkout(verb) => verb.run(context),
            Self::Checksum(verb) => verb.run(context),
            Self::Commit(verb) => verb.run(context),
            Self::Config(verb) => verb.run(context),
            Self::Container(verb) => verb.run(context),
            Self::Diff(verb) => verb.run(context),
            Self::Export(verb) => verb.run(context),
            Self::Fsck(verb) => verb.run(context),
            Self::GpgSign(verb) => verb.run(context),
            Self::Init(verb) => verb.run(context),
            Self::Log(verb) => verb.run(context),
            Self::Ls(verb) => verb.run(context),
            Self::Prune(verb) => verb.run(context),
            Self::Pull(verb) => verb.run(context),
            Self::PullLocal(verb) => verb.run(context),
            Self::Refs(verb) => verb.run(context),
            Self::Remote(verb) => verb.run(context),
            Self::Reset(verb) => verb.run(context),
            Self::RevParse(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
            Self::Sign(verb) => verb.run(context),
            Self::StaticDelta(verb) => verb.run(context),
            Self::Summary(verb) => verb.run(context),
        }
    }
}
