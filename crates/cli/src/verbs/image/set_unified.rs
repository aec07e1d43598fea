//! `bootroot image set-unified`

use std::io::Write;

use clap::Args;
use indicatif::HumanBytes;

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::verbs::source::SourceOptions;

/// Let podman have the image of the system as well, now and after upgrades
///
/// The image that runs, or boots first, is brought into the store of bound images by its digest: from the composefs repository
/// and podman's storage as far as they have it, else from its registry. It stays there as long as a deployment has it.
#[derive(Debug, Args)]
pub(crate) struct SetUnified {
    #[command(flatten)]
    access: SourceOptions,
}

impl SetUnified {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.place().make_writable()?;
        let access = self.access.access_at(context.place())?;
        let sysroot = context.storage()?.sysroot()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let plan = host::set_unified(&sysroot, &access, environment::now(), progress, interrupt)?;
        let mut out = context.results();
        for image in &plan.images {
            let digest = image.digest.as_deref().unwrap_or_default();
            writeln!(out, "{}: {digest}", image.image)?;
        }
        let (layers, bytes) = (plan.layers.words(), HumanBytes(plan.bytes_to_fetch));
        writeln!(out, "layers: {layers} ({bytes})")?;
        out.finish()?;
        Ok(Exit::Done)
    }
}
