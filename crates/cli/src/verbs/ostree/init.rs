//! `bootroot ostree init`

use clap::Args;
use ostree::Repo;
use ostree_format::RepoMode;
use rustix::fs::CWD;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Initialize a new empty repository
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// How content is stored: bare, bare-user, bare-user-only, archive or bare-split-xattrs
    #[arg(long, default_value = "bare", value_name = "MODE")]
    mode: RepoMode,
}

impl Init {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        Repo::init_at(CWD, &context.place().repository_path(), self.mode)?;
        Ok(Exit::Done)
    }
}
