//! `bootroot ostree init`

use clap::Args;
use ostree::Repo;
use ostree_format::RepoMode;
use rustix::fs::CWD;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Make an empty repository
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// How content is stored: bare, bare-user, bare-user-only, archive or bare-split-xattrs
    #[arg(long, default_value = "bare", value_name = "MODE")]
    mode: RepoMode,
    /// Globally unique ID of the repository as a collection of refs
    #[arg(long, value_name = "ID")]
    collection_id: Option<String>,
    /// Ignored, as `ostree` does
    #[arg(hide = true)]
    ignored: Vec<String>,
}

impl Init {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut repo = Repo::init_at(CWD, &context.place().repository_path(), self.mode)?;
        if let Some(id) = &self.collection_id {
            let mut config = repo.config().file.clone();
            config.set("core", "collection-id", id);
            repo.write_config(&config)?;
        }
        Ok(Exit::Done)
    }
}
