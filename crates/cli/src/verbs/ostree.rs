//! `bootroot ostree`: the repository itself. Arguments and output are those of the `ostree` command.

mod checkout;
mod commit;
mod config;
mod fsck;
mod init;
mod log;
mod ls;
mod prune;
mod refs;
mod reset;
mod rev_parse;
mod show;
mod sizes;
mod variant;
mod when;

use clap::Subcommand;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Work on the OSTree repository itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Ostree {
    Checkout(checkout::Checkout),
    Commit(Box<commit::Commit>),
    Config(config::Config),
    Fsck(fsck::Fsck),
    Init(init::Init),
    Log(log::Log),
    Ls(ls::Ls),
    Prune(prune::Prune),
    Refs(refs::Refs),
    Reset(reset::Reset),
    RevParse(rev_parse::RevParse),
    Show(show::Show),
}

impl Ostree {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Checkout(verb) => verb.run(context),
            Self::Commit(verb) => verb.run(context),
            Self::Config(verb) => verb.run(context),
            Self::Fsck(verb) => verb.run(context),
            Self::Init(verb) => verb.run(context),
            Self::Log(verb) => verb.run(context),
            Self::Ls(verb) => verb.run(context),
            Self::Prune(verb) => verb.run(context),
            Self::Refs(verb) => verb.run(context),
            Self::Reset(verb) => verb.run(context),
            Self::RevParse(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
        }
    }
}
