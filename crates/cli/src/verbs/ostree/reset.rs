//! `bootroot ostree reset`

use clap::Args;
use ostree::{Expect, RefEdit};
use ostree_format::refs::Refspec;

use super::summary;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Let a ref name an earlier commit again
#[derive(Debug, Args)]
pub(crate) struct Reset {
    /// The ref
    #[arg(value_name = "REF")]
    name: Refspec,
    /// The commit that it shall name
    commit: String,
}

impl Reset {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let commit = repo.resolve(&self.commit)?;
        // A ref must not name what is not there.
        repo.load_commit(&commit)?;
        repo.edit_refs(&[RefEdit {
            name: self.name,
            expect: Expect::Any,
            commit: Some(commit),
        }])?;
        summary::follow_refs(&repo)?;
        Ok(Exit::Done)
    }
}
