//! `bootroot image verify`

use std::io::Write;

use clap::Args;
use error_class::ErrorClass;
use host::Explanation;
use oci::reference::OstreeImageReference;

use crate::arguments::Format;
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Say whether an image is signed as policy asks, without pulling it
///
/// The policy is that of containers-policy.json(5); where signatures are is said by
/// containers-registries.d(5). Exit code 10 means that the image must not be used.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    /// Tell every signature that was looked at, and why it counts or does not
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    format: Format,
}

impl Verify {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let access = self.source.access()?;
        let (now, interrupt) = (environment::now(), context.interrupt());
        let explained = host::image_explain(&self.image, &access, now, interrupt)?;
        let mut out = context.results();
        if self.format.json {
            out.json(&explained)?;
        } else {
            print(&mut out, &explained, self.explain)?;
            out.finish()?;
        }
        Ok(if explained.trusted {
            Exit::Done
        } else {
            Exit::Answered(ErrorClass::Untrusted)
        })
    }
}

fn print(out: &mut dyn Write, explained: &Explanation, fully: bool) -> std::io::Result<()> {
    let word = if explained.trusted {
        "trusted"
    } else {
        "not trusted"
    };
    writeln!(out, "{}: {word}", explained.image)?;
    if let Some(refused) = &explained.refused {
        writeln!(out, "  because:  {refused}")?;
    }
    let Some(verdict) = &explained.verdict else {
        return writeln!(out, "  policy:   none");
    };
    writeln!(out, "  policy:   {} ({})", verdict.policy, verdict.scope)?;
    writeln!(out, "  digest:   {}", verdict.digest)?;
    for finding in &verdict.findings {
        let word = if finding.met { "met" } else { "not met" };
        writeln!(out, "  {}: {word}", finding.requirement)?;
        if let Some(because) = &finding.because {
            writeln!(out, "    because:   {because}")?;
        }
        if let Some(signer) = &finding.signer {
            writeln!(out, "    key:       {} ({})", signer.key, signer.kind)?;
            writeln!(
                out,
                "    signed as: {}",
                signer.identity.as_deref().unwrap_or("-")
            )?;
            writeln!(out, "    signature: {}", signer.place)?;
        }
        for attempt in finding.refused.iter().filter(|_| fully) {
            writeln!(out, "    refused:   {}: {}", attempt.place, attempt.because)?;
        }
    }
    Ok(())
}
