//! `bootroot image pull`

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use composefs_format::Algorithm;
use host::{Check, PullOptions, Pulled};
use indicatif::HumanBytes;
use oci::reference::OstreeImageReference;

use crate::arguments::Format;
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::verbs::reference;
use crate::verbs::source::SourceOptions;

/// Bring an image into the store
///
/// IMGREF is TRANSPORT:NAME, where TRANSPORT is registry, oci, oci-archive, docker-archive or dir, as in
/// registry:quay.io/os/image:tag or oci:/srv/image:tag. In front of it may stand how its signature is
/// verified: ostree-unverified-image:, ostree-image-signed:, ostree-remote-image:REMOTE: and the short
/// forms ostree-unverified-registry: and ostree-remote-registry:REMOTE:. Without that, it is not.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// The image
    #[arg(value_name = "IMGREF", value_parser = reference::image)]
    image: OstreeImageReference,
    /// Store it under this name instead
    #[arg(long, value_name = "IMGREF", value_parser = reference::image)]
    target_imgref: Option<OstreeImageReference>,
    /// Store it without a name: its layers stay until unused layers are collected
    #[arg(long, conflicts_with = "target_imgref")]
    no_imgref: bool,
    /// Only find out whether there is something to pull: exit code 77 if so, 0 if not
    #[arg(long)]
    check: bool,
    /// Refuse an image that is not labelled as bootable or is for another architecture
    #[arg(long)]
    require_bootable: bool,
    /// Keep layers that no image needs any more
    #[arg(long)]
    skip_gc: bool,
    /// Fetch nothing: succeed only if the image, named by its digest, is stored
    #[arg(long, conflicts_with = "check")]
    offline: bool,
    /// Label an image that wraps no commit by the SELinux policy of this commit
    #[arg(long, value_name = "REV")]
    sepolicy_commit: Option<String>,
    /// Let the composefs repository have the image, too: its files are the same inodes
    #[arg(long, conflicts_with_all = ["check", "no_imgref"])]
    composefs: bool,
    /// There, make the root as it is booted, too
    #[arg(long, requires = "composefs")]
    composefs_bootable: bool,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    format: Format,
}

impl Pull {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.storage()?;
        let (access, mut options) = (self.source.access_at(context.place())?, self.options());
        if let Some(rev) = &self.sepolicy_commit {
            options.policy_commit = Some(storage.repo().resolve(rev)?);
        }
        if self.composefs {
            let store = storage.ensure_composefs(Algorithm::Sha512)?;
            options.composefs = Some(Arc::new(store));
            options.composefs_bootable = self.composefs_bootable;
        }
        let (progress, interrupt) = (context.progress(), context.interrupt());
        if self.check {
            let check = host::check(
                storage.repo(),
                &self.image,
                &access,
                &options,
                progress,
                interrupt,
            )?;
            return self.report_check(context, &check);
        }
        let pulled = host::pull(
            storage.repo(),
            &self.image,
            &access,
            &options,
            progress,
            interrupt,
        )?;
        warn_of_filtered(context, &pulled);
        self.report(context, &pulled)
    }

    fn options(&self) -> PullOptions {
        let mut options = PullOptions::default();
        options.target = self
            .target_imgref
            .as_ref()
            .map(|target| target.imgref.clone());
        options.no_imgref = self.no_imgref;
        options.require_bootable = self.require_bootable;
        options.skip_collection = self.skip_gc;
        options.offline = self.offline;
        options.now = environment::now();
        options
    }

    fn report(&self, context: &Context, pulled: &Pulled) -> Result<Exit, Failure> {
        let mut out = context.results();
        if self.format.json {
            out.json(pulled)?;
            return Ok(Exit::Done);
        }
        writeln!(
            out,
            "{}: {}",
            pulled.image,
            if pulled.changed {
                "pulled"
            } else {
                "already present"
            }
        )?;
        if let Some(name) = pulled
            .stored_as
            .as_ref()
            .filter(|name| **name != self.image.imgref)
        {
            writeln!(out, "  stored as: {name}")?;
        }
        writeln!(out, "  digest:    {}", pulled.digest)?;
        if let Some(version) = &pulled.version {
            writeln!(out, "  version:   {version}")?;
        }
        writeln!(out, "  commit:    {}", pulled.commit)?;
        let (layers, bytes) = (pulled.layers, HumanBytes(pulled.bytes_fetched));
        writeln!(
            out,
            "  layers:    {}, {} ({bytes})",
            layers.total,
            layers.words()
        )?;
        out.finish()?;
        Ok(Exit::Done)
    }

    fn report_check(&self, context: &Context, check: &Check) -> Result<Exit, Failure> {
        let mut out = context.results();
        if self.format.json {
            out.json(check)?;
        } else if check.update_available {
            let (layers, bytes) = (check.layers, HumanBytes(check.bytes_to_fetch));
            writeln!(out, "{}: update available", check.image)?;
            writeln!(out, "  digest:   {}", check.digest)?;
            if let Some(version) = &check.version {
                writeln!(out, "  version:  {version}")?;
            }
            writeln!(
                out,
                "  layers:   {}, {} to fetch ({bytes})",
                layers.total, layers.fetched
            )?;
            out.finish()?;
        } else {
            writeln!(out, "{}: up to date", check.image)?;
            out.finish()?;
        }
        Ok(if check.update_available {
            Exit::UpdateAvailable
        } else {
            Exit::Done
        })
    }
}

/// What an image has where the root of a system keeps nothing is left out, and that is worth a word.
fn warn_of_filtered(context: &Context, pulled: &Pulled) {
    for (layer, counts) in &pulled.filtered {
        let counts: Vec<String> = counts
            .iter()
            .map(|(path, count)| format!("{path}: {count}"))
            .collect();
        let text = format!(
            "layer {layer} has entries that are not kept ({})",
            counts.join(", ")
        );
        context.progress().note(&text);
    }
}
