//! `bootroot ostree admin pin`

use std::io::Write;

use clap::Args;
use sysroot::{Locked, Status};

use super::selection::{self, SelectionError};
use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Change the "pinning" state of deployments
#[derive(Debug, Args)]
pub(crate) struct Pin {
    /// Unset pin
    #[arg(short, long)]
    unpin: bool,
    /// Indices of deployments, as `status` lists them, or `booted`, `pending`, `rollback`
    #[arg(required = true, value_name = "INDEX")]
    indices: Vec<String>,
}

impl Pin {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        for word in &self.indices {
            let index = find(&locked.status()?, word)?;
            self.pin(context, &locked, index)?;
        }
        Ok(Exit::Done)
    }

    fn pin(&self, context: &Context, locked: &Locked<'_>, index: usize) -> Result<(), Failure> {
        let state = locked.load()?;
        let id = selection::at(&state, index)?.id();
        let changed = locked.set_pinned(id, !self.unpin)?;
        let now = if changed { "now" } else { "already" };
        let what = if self.unpin { "unpinned" } else { "pinned" };
        let mut out = context.results();
        writeln!(out, "Deployment {index} is {now} {what}")?;
        Ok(out.finish()?)
    }
}

fn find(status: &Status, word: &str) -> Result<usize, SelectionError> {
    let mut deployments = status.deployments.iter();
    let found = match word {
        "booted" => deployments.find(|deployment| deployment.booted),
        "pending" => deployments.find(|deployment| deployment.pending),
        "rollback" => deployments.find(|deployment| deployment.rollback),
        _ => return selection::index(word),
    };
    let found = found.ok_or_else(|| SelectionError::NoSuchRole(word.to_owned()))?;
    Ok(found.index)
}
