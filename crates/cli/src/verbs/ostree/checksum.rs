//! `bootroot ostree checksum`

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use rustix::fs::CWD;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Print the checksum that a file would have in a repository
#[derive(Debug, Args)]
pub(crate) struct Checksum {
    /// As if it had no extended attributes
    #[arg(long)]
    ignore_xattrs: bool,
    /// The file, link or directory
    path: PathBuf,
}

impl Checksum {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let checksum = ostree::checksum_path(CWD, &self.path, !self.ignore_xattrs)?;
        let mut out = context.results();
        writeln!(out, "{checksum}")?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
