//! `bootroot image`: container images in the store.

mod history;
mod list;
mod metadata;
mod pull;
mod remove;

use clap::Subcommand;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// What to do about an image that is not stored.
const WHAT_IS_STORED: &str = "`bootroot image list` shows what is stored";

/// Container images in the store.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    History(history::History),
    List(list::List),
    Metadata(metadata::Metadata),
    Pull(pull::Pull),
    Remove(remove::Remove),
}

impl Image {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::History(verb) => verb.run(context),
            Self::List(verb) => verb.run(context),
            Self::Metadata(verb) => verb.run(context),
            Self::Pull(verb) => verb.run(context),
            Self::Remove(verb) => verb.run(context),
        }
    }
}
