//! `bootroot composefs pull`

use std::io::Write;

use clap::Args;
use host::{ComposefsPullOptions, LayerCount};
use indicatif::HumanBytes;
use oci::reference::OstreeImageReference;

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Bring an image into the composefs repository
///
/// IMGREF is written as for `bootroot image pull`. The repository is made where there is none.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    /// Store it under this name instead
    #[arg(long)]
    name: Option<String>,
    /// Make the root as it is booted, too: without what is in /boot and /sysroot, labelled by its own policy
    #[arg(long)]
    bootable: bool,
    #[command(flatten)]
    source: SourceOptions,
}

impl Pull {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let store = super::for_change(context)?;
        let access = self.source.access_at(context.place())?;
        let mut options = ComposefsPullOptions::default();
        options.name = self.name;
        options.bootable = self.bootable;
        options.now = environment::now();
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let pulled =
            host::composefs_pull(&store, &self.image, &access, &options, progress, interrupt)?;
        let mut out = context.results();
        writeln!(out, "{}: pulled", self.image)?;
        writeln!(out, "  digest:    {}", pulled.stored.manifest)?;
        writeln!(out, "  root:      {}", pulled.stored.root)?;
        if let Some(root) = pulled.stored.boot_root {
            writeln!(out, "  boot root: {root}")?;
        }
        let bytes = HumanBytes(pulled.bytes_fetched);
        let layers = LayerCount {
            total: pulled.layers,
            fetched: pulled.layers_fetched,
            local: Some(pulled.layers_local),
        };
        let (total, words) = (layers.total, layers.words());
        writeln!(out, "  layers:    {total}, {words} ({bytes})")?;
        Ok(out.finish().map(|()| Exit::Done)?)
    }
}
