//! `bootroot composefs list`

use std::io::Write;

use clap::Args;
use composefs_image::RootKind;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// List the images in the composefs repository
///
/// Every name stands before the digest of its manifest and the images of its root, plain and as it is booted.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = super::existing(context)?;
        let mut out = context.results();
        for listed in composefs_image::list(&store)? {
            writeln!(out, "{}", listed.name)?;
            writeln!(out, "  digest:    {}", listed.manifest)?;
            // One that cannot be read does not hide the others; `check` says what is wrong.
            let Ok(image) = composefs_image::find(&store, &listed.name) else {
                writeln!(out, "  damaged:   see `bootroot composefs check`")?;
                continue;
            };
            let roots = [
                ("root:     ", RootKind::Plain),
                ("boot root:", RootKind::Boot),
            ];
            for (title, kind) in roots {
                if let Some(root) = image.image(&store, kind) {
                    writeln!(out, "  {title} {root}")?;
                }
            }
        }
        Ok(out.finish().map(|()| Exit::Done)?)
    }
}
