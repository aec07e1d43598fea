//! `container image list`

use clap::Args;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// List the names of stored images
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let names: String = host::image_list(&repo)?
            .images
            .iter()
            .map(|entry| format!("{}\n", entry.image))
            .collect();
        context.results().all(names.as_bytes())?;
        Ok(Exit::Done)
    }
}
