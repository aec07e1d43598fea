//! `bootroot ostree admin instutil`

mod grub2_generate;
mod selinux_ensure_labeled;
mod set_kargs;

use clap::Subcommand;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Provide instutil commands, for programs that install systems
#[derive(Debug, Subcommand)]
pub(crate) enum Instutil {
    Grub2Generate(grub2_generate::Grub2Generate),
    SelinuxEnsureLabeled(selinux_ensure_labeled::SelinuxEnsureLabeled),
    SetKargs(set_kargs::SetKargs),
}

impl Instutil {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Grub2Generate(verb) => verb.run(context),
            Self::SelinuxEnsureLabeled(verb) => verb.run(context),
            Self::SetKargs(verb) => verb.run(context),
        }
    }
}
