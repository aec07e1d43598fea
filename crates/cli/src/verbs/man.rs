//! `bootroot man` (hidden): for packagers.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::arguments::CommandLine;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;

/// Write the manual pages to a directory
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// An existing directory
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(self, _context: &Context) -> Result<Exit, Failure> {
        open_dir("the directory for manual pages", &self.directory)?;
        clap_mangen::generate_to(CommandLine::command(), &self.directory)?;
        Ok(Exit::Done)
    }
}
