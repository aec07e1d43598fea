//! `bootroot image`: container images in the store.

mod check;
mod cmd;
mod compare;
mod copy_to_storage;
pub(crate) mod history;
mod list;
pub(crate) mod metadata;
mod prune;
mod pull;
mod remove;
mod set_unified;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::container::{clear_cached_update, copy, reexport};

/// What to do about an image that is not stored.
const WHAT_IS_STORED: &str = "`bootroot image list` shows what is stored";

/// Container images in the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    Check(check::Check),
    Cmd(cmd::Cmd),
    ClearCachedUpdate(clear_cached_update::ClearCachedUpdate),
    Compare(compare::Compare),
    Copy(copy::Copy),
    CopyToStorage(copy_to_storage::CopyToStorage),
    Export(reexport::Reexport),
    History(history::History),
    List(list::List),
    Metadata(metadata::Metadata),
    Prune(prune::Prune),
    Pull(pull::Pull),
    Remove(remove::Remove),
    SetUnified(set_unified::SetUnified),
    Verify(verify::Verify),
}

impl Image {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Check(verb) => verb.run(context),
            Self::Cmd(verb) => verb.run(context),
            Self::ClearCachedUpdate(verb) => verb.run(context),
            Self::Compare(verb) => verb.run(context),
            Self::Copy(verb) => verb.run(context),
            Self::CopyToStorage(verb) => verb.run(context),
            Self::Export(verb) => verb.run(context),
            Self::History(verb) => verb.run(context),
            Self::List(verb) => verb.run(context),
            Self::Metadata(verb) => verb.run(context),
            Self::Prune(verb) => verb.run(context),
            Self::Pull(verb) => verb.run(context),
            Self::Remove(verb) => verb.run(context),
            Self::SetUnified(verb) => verb.run(context),
            Self::Verify(verb) => verb.run(context),
        }
    }
}
