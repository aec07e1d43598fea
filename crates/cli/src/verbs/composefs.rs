//! `bootroot composefs`: container images in the composefs repository.

mod check;
mod init;
mod list;
mod prune;
mod pull;
mod remove;

use ::composefs::Store;
use clap::Subcommand;
use composefs_format::Algorithm;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Container images in the composefs repository, without commits
///
/// The repository is /composefs of the physical root, laid out as bootc and cfsctl have it: layers are split
/// streams, files are objects named by their fs-verity digest, and every image has a root that can be mounted.
#[derive(Debug, Subcommand)]
pub(crate) enum Composefs {
    Init(init::Init),
    Pull(pull::Pull),
    List(list::List),
    Remove(remove::Remove),
    Prune(prune::Prune),
    Check(check::Check),
}

impl Composefs {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Init(verb) => verb.run(context),
            Self::Pull(verb) => verb.run(context),
            Self::List(verb) => verb.run(context),
            Self::Remove(verb) => verb.run(context),
            Self::Prune(verb) => verb.run(context),
            Self::Check(verb) => verb.run(context),
        }
    }
}

/// The repository for a change, made where there is none.
fn for_change(context: &Context) -> Result<Store, Failure> {
    context.place().make_writable()?;
    let root = context.place().root()?;
    let root = std::os::fd::AsFd::as_fd(&root);
    Ok(host::ensure_composefs_store(root, Algorithm::Sha512)?)
}

/// The repository, which must be there.
fn existing(context: &Context) -> Result<Store, Failure> {
    let root = context.place().root()?;
    let store = host::composefs_store(std::os::fd::AsFd::as_fd(&root))?;
    store.ok_or_else(|| Failure::from(NoStore).with_hint("make one with `bootroot composefs init`"))
}

/// There is no repository.
#[derive(Debug, thiserror::Error)]
#[error("there is no composefs repository")]
struct NoStore;

impl error_class::Classified for NoStore {
    fn class(&self) -> error_class::ErrorClass {
        error_class::ErrorClass::NotFound
    }
}
