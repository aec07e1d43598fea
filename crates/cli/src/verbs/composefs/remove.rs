//! `bootroot composefs remove`

use std::io::Write;

use clap::Args;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Remove names of images
///
/// What nothing needs any more stays until `bootroot composefs prune`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The names
    #[arg(required = true)]
    names: Vec<String>,
}

impl Remove {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.place().make_writable()?;
        let store = super::existing(context)?;
        let mut out = context.results();
        for name in &self.names {
            composefs_image::remove(&store, name)?;
            writeln!(out, "removed {name}")?;
        }
        Ok(out.finish().map(|()| Exit::Done)?)
    }
}
