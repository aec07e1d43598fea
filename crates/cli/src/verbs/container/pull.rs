//! `container image pull`

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use host::PullOptions;
use oci::reference::OstreeImageReference;

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure, Hinted};
use crate::verbs::container::repository_at;
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Pull an image, or a newer version of it
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The repository
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    /// Write the checksum of the resulting commit to FILE
    #[arg(long, value_name = "FILE")]
    ostree_digestfile: Option<PathBuf>,
    /// Fetch no layers; when there is something to pull, write its manifest to FILE
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    #[command(flatten)]
    source: SourceOptions,
}

impl Pull {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = repository_at(&self.dir)?;
        let access = self.source.access_at(context.place())?;
        let mut options = PullOptions::default();
        options.now = environment::now();
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let image = &self.image;
        if let Some(path) = &self.check {
            let check = host::check(&repo, image, &access, &options, progress, interrupt)?;
            if check.update_available {
                let found = host::fetch_manifest(image, &access, interrupt)?;
                let json = serde_json::to_vec(&found.manifest).map_err(std::io::Error::from)?;
                fs::write(path, json).hint("this was about the file for the manifest")?;
            }
            return Ok(Exit::Done);
        }
        let pulled = host::pull(&repo, image, &access, &options, progress, interrupt)?;
        if let Some(path) = &self.ostree_digestfile {
            let text = pulled.commit.to_string();
            fs::write(path, text).hint("this was about the file for the checksum")?;
        }
        let mut out = context.results();
        if pulled.changed {
            writeln!(out, "Wrote: {image} => {}", pulled.commit)?;
        } else {
            writeln!(out, "No changes in {image} => {}", pulled.commit)?;
        }
        out.finish()?;
        Ok(Exit::Done)
    }
}
