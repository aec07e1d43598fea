//! What the command can do: one file per verb. What is here only dispatches.

mod completions;
mod container;
mod deploy;
mod image;
mod man;
mod ostree;
mod reference;
mod source;
mod status;

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
    Deploy(deploy::Deploy),
    Status(status::Status),
    /// Work on the OSTree repository itself, as the `ostree` command does
    #[command(subcommand)]
    Ostree(ostree::Ostree),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Verb {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Image(verb) => verb.run(context),
            Self::Container(verb) => verb.run(context),
            Self::Ostree(verb) => verb.run(context),
            Self::Deploy(verb) => verb.run(context),
            Self::Status(verb) => verb.run(context),
            Self::Completions(verb) => verb.run(context),
            Self::Man(verb) => verb.run(context),
        }
    }
}
