//! `container unencapsulate`

use clap::Args;
use oci::reference::OstreeImageReference;
use ostree_format::refs::Refspec;

use crate::context::Context;
use crate::environment::now;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Take the commit out of an image that wraps it
///
/// The image itself is not kept. One with layers above the commit is refused, because they would be lost.
#[derive(Debug, Args)]
#[command(alias = "import")]
pub(crate) struct Unencapsulate {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    /// Let the ref REF name the commit
    #[arg(long, value_name = "REF", value_parser = refspec)]
    write_ref: Option<Refspec>,
    #[command(flatten)]
    source: SourceOptions,
    /// Answer, and report errors, in JSON
    #[arg(long)]
    json: bool,
}

fn refspec(text: &str) -> Result<Refspec, String> {
    let parsed = text.parse();
    parsed.map_err(|error: ostree_format::refs::InvalidRef| error.to_string())
}

impl Unencapsulate {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let repo = context.place().open_repository()?;
        let access = self.source.access()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let name = self.write_ref.clone();
        let taken = host::unencapsulate(
            &repo,
            &self.image,
            name,
            &access,
            now(),
            progress,
            interrupt,
        )?;
        let out = context.results();
        if self.json {
            out.json(&taken)?;
            return Ok(Exit::Done);
        }
        let text = match &self.write_ref {
            Some(name) => format!("Imported: {name} => {}\n", taken.commit),
            None => format!("Imported: {}\n", taken.commit),
        };
        out.all(text.as_bytes())?;
        Ok(Exit::Done)
    }
}
