//! What `upgrade` and `switch` have in common.

use std::io::Write;

use clap::Args;
use host::{Check, UpgradeOptions, Upgraded};
use indicatif::HumanBytes;
use sysroot::{StaterootName, Sysroot};

use super::changes;
use super::source::SourceOptions;
use crate::arguments::Format;
use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};

#[derive(Debug, Args)]
pub(crate) struct FollowArgs {
    /// The stateroot [default: that of the running deployment]
    #[arg(long, visible_alias = "os", value_name = "NAME")]
    stateroot: Option<StaterootName>,
    /// Fetch the image, but do not deploy it
    #[arg(long)]
    download_only: bool,
    /// Fetch the image, and only say what deploying it would do
    #[arg(long)]
    dry_run: bool,
    /// Reboot into it when it was deployed
    #[arg(long, conflicts_with_all = ["download_only", "dry_run"])]
    apply: bool,
    #[command(flatten)]
    pub(crate) source: SourceOptions,
    #[command(flatten)]
    pub(crate) format: Format,
}

impl FollowArgs {
    pub(crate) fn sysroot(&self, context: &Context) -> Result<Sysroot, Failure> {
        context.place().make_writable()?;
        Ok(context.storage()?.sysroot()?)
    }

    pub(crate) fn options(&self, sysroot: &Sysroot) -> UpgradeOptions {
        let mut options = UpgradeOptions::new(std::env::consts::ARCH);
        options.download_only = self.download_only;
        options.dry_run = self.dry_run;
        options.stage = sysroot.is_running();
        options.now = environment::now();
        options.stateroot.clone_from(&self.stateroot);
        options
    }

    pub(crate) fn finish(
        &self,
        context: &Context,
        sysroot: &Sysroot,
        upgraded: &Upgraded,
    ) -> Result<Exit, Failure> {
        let mut out = context.results();
        if self.format.json {
            out.json(upgraded)?;
        } else {
            print(&mut out, upgraded)?;
            out.finish()?;
        }
        if self.apply && upgraded.deployed && sysroot.is_running() {
            environment::reboot()?;
        }
        Ok(Exit::Done)
    }
}

fn print(out: &mut dyn Write, upgraded: &Upgraded) -> std::io::Result<()> {
    let pull = &upgraded.pull;
    let (image, bytes) = (&pull.image, HumanBytes(pull.bytes_fetched));
    writeln!(out, "{image}: {} ({bytes} fetched)", pull.digest)?;
    if let Some(version) = &pull.version {
        writeln!(out, "  version: {version}")?;
    }
    let Some(change) = &upgraded.change else {
        return writeln!(out, "nothing to deploy");
    };
    for conflict in upgraded.etc.iter().flat_map(|etc| &etc.conflicts) {
        writeln!(out, "/etc: {conflict}")?;
    }
    if upgraded.staged {
        writeln!(out, "staged: completed when the system shuts down")?;
    }
    changes::print(out, change)
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
