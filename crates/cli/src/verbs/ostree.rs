//! `bootroot ostree`: the repository itself. Arguments and output are those of the `ostree` command.

mod fsck;
mod init;
mod ls;
mod refs;
mod rev_parse;
mod show;
mod sizes;
mod variant;

use clap::Subcommand;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Work on the OSTree repository itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Ostree {
    Fsck(fsck::Fsck),
    Init(init::Init),
    Ls(ls::Ls),
    Refs(refs::Refs),
    RevParse(rev_parse::RevParse),
    Show(show::Show),
}

impl Ostree {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Fsck(verb) => verb.run(context),
            Self::Init(verb) => verb.run(context),
            Self::Ls(verb) => verb.run(context),
            Self::Refs(verb) => verb.run(context),
            Self::RevParse(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
        }
    }
}
