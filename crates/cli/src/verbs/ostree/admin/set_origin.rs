//! `bootroot ostree admin set-origin`

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{IfPresent, Remote, Repo};
use ostree_format::refs::Refspec;
use rustix::fs::CWD;
use sysroot::Origin;

use super::selection;
use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Set origin of a deployment and add the remote it names
#[derive(Debug, Args)]
pub(crate) struct SetOrigin {
    /// Give the remote the option KEY with VALUE; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The deployment, counted from 0 [default: the running one]
    #[arg(long, value_name = "INDEX")]
    index: Option<usize>,
    /// The name of the remote
    #[arg(value_name = "REMOTENAME")]
    remote: String,
    /// Where it is
    url: String,
    /// The branch to follow [default: as before]
    branch: Option<String>,
}

/// Why the origin was not changed.
#[derive(Debug, thiserror::Error)]
enum SetOriginError {
    #[error("Missing '=' in KEY=VALUE for --set")]
    NoValue,
    #[error("No host refspec found, branch is required")]
    NoBranch,
}

impl Classified for SetOriginError {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl SetOrigin {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        let locked = system.lock(context)?;
        let state = locked.load()?;
        let id = match self.index {
            Some(index) => selection::at(&state, index)?.id().clone(),
            None => selection::booted(&state)?.id.clone(),
        };
        let old = state.find(&id).and_then(|found| found.origin.clone());
        let refspec = self.refspec(old.as_ref())?;
        let path = system.path()?.join("ostree/repo");
        Repo::open_at(CWD, &path)?.add_remote(&self.remote()?, IfPresent::Keep)?;
        locked.replace_origin(&id, &Origin::from_refspec(&refspec))?;
        Ok(Exit::Done)
    }

    fn refspec(&self, old: Option<&Origin>) -> Result<String, Failure> {
        let branch = match (&self.branch, old.and_then(Origin::refspec)) {
            (Some(branch), _) => branch.clone(),
            (None, Some(old)) => old.parse::<Refspec>()?.name.to_string(),
            (None, None) => return Err(SetOriginError::NoBranch.into()),
        };
        Ok(format!("{}:{branch}", self.remote))
    }

    fn remote(&self) -> Result<Remote, Failure> {
        let mut remote = Remote::new(&self.remote, &self.url)?;
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or(SetOriginError::NoValue)?;
            remote.set(key, value);
        }
        Ok(remote)
    }
}
