//! What `upgrade` and `switch` have in common.

use std::io::Write;

use clap::Args;
use host::{Backend, Check, FileSystemPlan, UpgradeOptions, UpgradePlan, Upgraded};
use indicatif::HumanBytes;
use sysroot::StaterootName;

use super::changes;
use super::source::SourceOptions;
use crate::arguments::Format;
use crate::context::Context;
use crate::environment;
use crate::journal::Event;
use crate::outcome::{Exit, Failure};
use crate::soft_reboot::{self, SoftReboot};

#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// The stateroot [default: that of the running deployment]
    #[arg(long, visible_alias = "os", value_name = "NAME")]
    stateroot: Option<StaterootName>,
    /// Fetch the image, but do not let it boot: on the running system it is staged, and waits for
    /// `upgrade --from-downloaded`
    #[arg(long)]
    pub(crate) download_only: bool,
    /// Fetch nothing but manifest and config, and only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Reboot into it when it was deployed, now or before
    #[arg(long, conflicts_with_all = ["download_only", "dry_run"])]
    apply: bool,
    /// Let it be what a soft reboot changes to, which leaves the kernel as it runs; with --apply, reboot so
    #[arg(long, value_name = "HOW", conflicts_with_all = ["download_only", "dry_run"])]
    soft_reboot: Option<SoftReboot>,
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) format: Format,
}

impl FollowArgs {
    pub(crate) fn backend(&self, context: &Context) -> Result<Box<dyn Backend>, Failure> {
        context.place().make_writable()?;
        context.place().backend()
    }

    pub(crate) fn dry_run(&self) -> bool {
        self.dry_run
    }

    pub(crate) fn options(&self, is_running: bool) -> UpgradeOptions {
        let mut options = UpgradeOptions::new(std::env::consts::ARCH);
        options.download_only = self.download_only;
        options.dry_run = self.dry_run;
        options.stage = is_running;
        options.now = environment::now();
        options.stateroot.clone_from(&self.stateroot);
        options
    }

    /// Answers, tells the journal, and reboots if that was asked for.
    pub(crate) fn finish(
        &self,
        context: &Context,
        is_running: bool,
        upgraded: &Upgraded,
        event: Event,
    ) -> Result<Exit, Failure> {
        answer(context, upgraded, self.format, event)?;
        if (upgraded.deployed || upgraded.staged) && is_running {
            soft_reboot::after_change(context, self.soft_reboot, self.apply)?;
        }
        Ok(Exit::Done)
    }
}

/// Answers, and tells the journal.
pub(crate) fn answer(
    context: &Context,
    upgraded: &Upgraded,
    format: Format,
    event: Event,
) -> Result<Exit, Failure> {
    if upgraded.deployed {
        tell(context, upgraded, event);
    }
    let mut out = context.results();
    if format.json {
        out.json(upgraded)?;
    } else {
        print(&mut out, upgraded)?;
        out.finish()?;
    }
    Ok(Exit::Done)
}

fn tell(context: &Context, upgraded: &Upgraded, event: Event) {
    let digest = upgraded.plan.as_ref().map(|plan| plan.digest.as_str());
    let digest = digest.or(upgraded.root.as_ref().map(|root| root.digest.as_str()));
    let fields = [
        ("BOOTROOT_IMAGE", upgraded.image.as_str()),
        ("BOOTROOT_DIGEST", digest.unwrap_or_default()),
    ];
    let image = &upgraded.image;
    let (event, message) = match (upgraded.held, upgraded.staged) {
        (true, _) => (
            Event::Staged,
            format!("Staged {image}, which waits for a release"),
        ),
        (false, true) => (event, format!("Staged {image} for the next boot")),
        (false, false) => (event, format!("Deployed {image}")),
    };
    context.journal().tell(event, &message, &fields);
}

fn print(out: &mut dyn Write, upgraded: &Upgraded) -> std::io::Result<()> {
    let digest = upgraded.pull.as_ref().map(|pull| pull.digest.to_string());
    let planned = upgraded.plan.as_ref();
    let digest = digest.or_else(|| planned.map(|plan| plan.digest.clone()));
    let root = upgraded.root.as_ref();
    let digest = digest.or_else(|| root.map(|root| root.digest.clone()));
    let fetched = upgraded.pull.as_ref().map(|pull| pull.bytes_fetched);
    let fetched = fetched.or(root.map(|root| root.bytes_fetched));
    let fetched = fetched.unwrap_or_default();
    let layers = upgraded.pull.as_ref().map(|pull| pull.layers);
    let layers = layers.or(root.map(|root| root.layers));
    let local = layers.and_then(|layers| layers.local).unwrap_or_default();
    let local = match local {
        0 => String::new(),
        local => format!(", {local} layers from this machine"),
    };
    writeln!(
        out,
        "{}: {} ({} fetched{local})",
        upgraded.image,
        digest.as_deref().unwrap_or("what is staged"),
        HumanBytes(fetched)
    )?;
    if let Some(plan) = planned {
        print_plan(out, plan)?;
    }
    if let Some(root) = root {
        writeln!(out, "  root:       {}", root.root)?;
    }
    for conflict in upgraded.etc.iter().flat_map(|etc| &etc.conflicts) {
        writeln!(out, "/etc: {conflict}")?;
    }
    if upgraded.held {
        writeln!(
            out,
            "staged: waits for `bootroot upgrade --from-downloaded`"
        )?;
    } else if upgraded.staged {
        writeln!(out, "staged: completed when the system shuts down")?;
    }
    match (&upgraded.change, planned) {
        (Some(change), _) => changes::print(out, change),
        (None, Some(plan)) => {
            let removed = plan.removed.iter();
            removed
                .into_iter()
                .try_for_each(|id| writeln!(out, "to be removed: {id}"))
        }
        (None, None) if upgraded.staged => Ok(()),
        (None, None) => writeln!(out, "nothing to deploy"),
    }
}

fn print_plan(out: &mut dyn Write, plan: &UpgradePlan) -> std::io::Result<()> {
    let unknown = || "unknown until it is fetched".to_owned();
    let step = |old: &Option<String>, new: &Option<String>| match (old, new) {
        (Some(old), Some(new)) if old == new => new.clone(),
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (_, new) => new.clone().unwrap_or_else(unknown),
    };
    if plan.version.is_some() {
        writeln!(
            out,
            "  version:    {}",
            step(&plan.current_version, &plan.version)
        )?;
    }
    let (layers, bytes) = (plan.layers, HumanBytes(plan.bytes_to_fetch));
    writeln!(
        out,
        "  layers:     {} of {} new, {bytes} to fetch",
        layers.fetched, layers.total
    )?;
    plan.space
        .iter()
        .try_for_each(|place| print_space(out, place))?;
    writeln!(
        out,
        "  kernel:     {}",
        step(&plan.current_kernel, &plan.kernel)
    )?;
    match &plan.kernel_arguments {
        Some(arguments) => {
            let added = arguments
                .added
                .iter()
                .map(|argument| format!("+{argument}"));
            let removed = arguments
                .removed
                .iter()
                .map(|argument| format!("-{argument}"));
            let all: Vec<String> = added.chain(removed).collect();
            if !all.is_empty() {
                writeln!(out, "  arguments:  {}", all.join(" "))?;
            }
        }
        None => writeln!(out, "  arguments:  {}", unknown())?,
    }
    let Some(packages) = &plan.packages else {
        return Ok(());
    };
    for (sign, list) in [
        ('+', &packages.added),
        ('-', &packages.removed),
        ('~', &packages.changed),
    ] {
        list.iter()
            .try_for_each(|package| writeln!(out, "  package:    {sign} {package}"))?;
    }
    Ok(())
}

fn print_space(out: &mut dyn Write, place: &FileSystemPlan) -> std::io::Result<()> {
    let about = if place.estimate { "about " } else { "" };
    let (needed, available) = (HumanBytes(place.needed), HumanBytes(place.available));
    let place = place.place;
    writeln!(
        out,
        "  {:<11} {about}{needed} new, {available} free",
        format!("{place}:")
    )
}

pub(crate) fn report_check(
    context: &Context,
    check: &Check,
    format: Format,
) -> Result<Exit, Failure> {
    let mut out = context.results();
    if format.json {
        out.json(check)?;
    } else if check.update_available {
        let bytes = HumanBytes(check.bytes_to_fetch);
        writeln!(out, "{}: update available", check.image)?;
        writeln!(out, "  digest:   {}", check.digest)?;
        if let Some(version) = &check.version {
            writeln!(out, "  version:  {version}")?;
        }
        writeln!(out, "  to fetch: {bytes}")?;
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
