//! `bootroot etc`

use std::io::Write;

use clap::{Args, Subcommand};
use error_class::{Classified, ErrorClass};
use serde::Serialize;
use sysroot::{EtcChanges, StaterootName};

use crate::arguments::Format;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Look at the configuration of the system
#[derive(Debug, Subcommand)]
pub(crate) enum Etc {
    Diff(Diff),
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

/// Nothing is deployed.
#[derive(Debug, thiserror::Error)]
#[error("there is no deployment whose /etc could be looked at")]
struct NothingDeployed;

impl Classified for NothingDeployed {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotFound
    }
}

impl Etc {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Diff(verb) => verb.run(context),
        }
    }
}

impl Diff {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let sysroot = context.storage()?.sysroot()?;
        let state = sysroot.load()?;
        let deployment = match &self.stateroot {
            Some(stateroot) => state.merge_deployment(stateroot),
            None => state.booted().or(state.deployments.first()),
        };
        let id = &deployment.ok_or(NothingDeployed)?.id;
        let changes = sysroot.etc_changes(id)?;
        let mut out = context.results();
        if self.format.json {
            out.json(&Document {
                schema: "bootroot.etc-diff/1",
                deployment: id.to_string(),
                changes,
            })?;
            return Ok(Exit::Done);
        }
        print(&mut out, &changes)?;
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
