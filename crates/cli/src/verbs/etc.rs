//! `bootroot etc`

use std::io::Write;
use std::os::fd::AsFd as _;
use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;
use sysroot::{EtcChanges, StaterootName};

use super::changes::ChangeArgs;
use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Largest `/etc/fstab` that is read.
const MAX_FSTAB: u64 = 1024 * 1024;

/// Look at the configuration of the system
#[derive(Debug, Subcommand)]
pub(crate) enum Etc {
    Diff(Diff),
    FixFstab(FixFstab),
}

/// Add `ro` to the entry of / in /etc/fstab
///
/// Installers write entries that want the root file system writable; where it is an image that cannot be, the boot
/// fails then.
#[derive(Debug, Args)]
pub(crate) struct FixFstab {
    /// The stateroot [default: that of the running deployment, or of the first one]
    #[arg(long, visible_alias = "os", value_name = "NAME")]
    stateroot: Option<StaterootName>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Fixed {
    schema: &'static str,
    deployment: String,
    made: bool,
    changed: bool,
}

/// List what was changed in /etc since its deployment was made
///
/// M: changed, D: removed, A: added.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The stateroot [default: that of the running deployment, or of the first one]
    #[arg(long, visible_alias = "os", value_name = "NAME")]
    stateroot: Option<StaterootName>,
    #[command(flatten)]
    format: Format,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    deployment: String,
    #[serde(flatten)]
    changes: EtcChanges,
}

impl Etc {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Diff(verb) => verb.run(context),
            Self::FixFstab(verb) => verb.run(context),
        }
    }
}

impl Diff {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let backend = context.place().backend()?;
        let (deployment, changes) = backend.etc_changes(self.stateroot.as_ref())?;
        let mut out = context.results();
        if self.format.json {
            out.json(&Document {
                schema: "bootroot.etc-diff/1",
                deployment,
                changes,
            })?;
            return Ok(Exit::Done);
        }
        print(&mut out, &changes)?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

impl FixFstab {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let etc = self.change.backend(context)?;
        let etc = etc.etc_place(self.stateroot.as_ref())?;
        let path = format!("{}/fstab", etc.path);
        let text = durable::read_optional(etc.base.as_fd(), Path::new(&path), MAX_FSTAB)?;
        let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
        let fixed = host::fixup_etc_fstab(&text);
        if let Some(text) = fixed.as_ref().filter(|_| !self.change.dry_run) {
            durable::publish(etc.base.as_fd(), Path::new(&path), text.as_bytes(), 0o644)?;
        }
        let mut out = context.results();
        let changed = fixed.is_some();
        if self.change.format.json {
            out.json(&Fixed {
                schema: "bootroot.etc-fix-fstab/1",
                deployment: etc.deployment,
                made: !self.change.dry_run,
                changed,
            })?;
            return Ok(Exit::Done);
        }
        let said = match (changed, self.change.dry_run) {
            (false, _) => "nothing to change",
            (true, true) => "ro to be added to the entry of /",
            (true, false) => "ro was added to the entry of /",
        };
        writeln!(out, "{path}: {said}")?;
        out.finish()?;
        Ok(Exit::Done)
    }
}

/// One path a line, behind what became of it.
pub(crate) fn print(out: &mut dyn Write, changes: &EtcChanges) -> std::io::Result<()> {
    let lists = [
        ('M', &changes.modified),
        ('D', &changes.removed),
        ('A', &changes.added),
    ];
    for (letter, paths) in lists {
        for path in paths {
            writeln!(out, "{letter}    {path}")?;
        }
    }
    Ok(())
}
