//! `bootroot auth`: what registries make of us.

use std::io::Write;

use clap::{Args, Subcommand};
use host::{AuthCheck, AuthPlace};
use oci::reference::OstreeImageReference;

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// What registries make of us
#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    Check(Check),
}

impl Auth {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Check(verb) => verb.run(context),
        }
    }
}

/// Say which credentials an image would be fetched with, and whether they are accepted
///
/// Every place that may have the image is asked for its manifest, mirrors first. No secret is shown.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::followed_option)]
    image: OstreeImageReference,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    format: Format,
}

impl Check {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access()?;
        let checked = host::auth_check(&self.image.imgref, &access, context.interrupt())?;
        let mut out = context.results();
        if self.format.json {
            out.json(&checked)?;
        } else {
            for place in &checked.places {
                print(&mut out, place)?;
            }
            out.finish()?;
        }
        Ok(exit(&checked))
    }
}

/// The exit code of the failure, if no place lets us in.
fn exit(checked: &AuthCheck) -> Exit {
    match checked.class.filter(|_| !checked.accepted) {
        Some(class) => Exit::Answered(class),
        None => Exit::Done,
    }
}

fn print(out: &mut dyn Write, place: &AuthPlace) -> std::io::Result<()> {
    writeln!(out, "{}", place.name)?;
    if let Some(by) = &place.configured_by {
        writeln!(out, "  configured by: {by}")?;
    }
    writeln!(
        out,
        "  server:        {}",
        place.server.as_deref().unwrap_or("not reached")
    )?;
    if let Some(wants) = place.wants {
        writeln!(out, "  wants:         {wants}")?;
    }
    match (&place.file, &place.entry) {
        (Some(file), Some(entry)) => writeln!(out, "  credentials:   {entry} of {file}")?,
        _ => writeln!(out, "  credentials:   none")?,
    }
    match &place.problem {
        Some(problem) => writeln!(out, "  refused:       {problem}"),
        None => writeln!(out, "  accepted"),
    }
}
