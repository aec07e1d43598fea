//! `bootroot ostree checkout`

use std::path::{Path, PathBuf};

use clap::Args;
use error_class::{Classified, ErrorClass};
use ostree::{CheckoutOptions, Existing};
use rustix::fs::CWD;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Check out a commit into a filesystem tree
#[derive(Debug, Args)]
pub(crate) struct Checkout {
    /// Do not change file ownership or initialize extended attributes
    #[arg(short = 'U', long)]
    user_mode: bool,
    /// Accepted for compatibility: there is no such cache
    #[arg(long)]
    disable_cache: bool,
    /// Checkout sub-directory PATH
    #[arg(long, value_name = "PATH")]
    subpath: Option<String>,
    /// Keep existing directories, overwrite existing files
    #[arg(long, group = "existing")]
    union: bool,
    /// Keep existing files and directories, only add new ones
    #[arg(long, group = "existing")]
    union_add: bool,
    /// Keep what is the same, fail when a file would be replaced with a different version
    #[arg(long, group = "existing")]
    union_identical: bool,
    /// Process whiteout entries (`.wh.NAME`)
    #[arg(long)]
    whiteouts: bool,
    /// Turn `.ostree-wh.NAME` into overlayfs whiteouts
    #[arg(long)]
    process_passthrough_whiteouts: bool,
    /// Do nothing if the specified path does not exist
    #[arg(long)]
    allow_noent: bool,
    /// Accepted for compatibility: a checkout is never synced
    #[arg(long, value_name = "POLICY")]
    fsync: Option<String>,
    /// Do not fall back to full copies if hard links are not possible
    #[arg(short = 'H', long)]
    require_hardlinks: bool,
    /// Never make hard links
    #[arg(short = 'C', long, conflicts_with = "require_hardlinks")]
    force_copy: bool,
    /// The commit
    commit: String,
    /// The directory to make [default: the name of the commit]
    destination: Option<PathBuf>,
}

/// Only links show that files are the same.
#[derive(Debug, thiserror::Error)]
#[error("--union-identical requires --require-hardlinks")]
struct NeedsHardlinks;

impl Classified for NeedsHardlinks {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl Checkout {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.union_identical && !self.require_hardlinks {
            return Err(NeedsHardlinks.into());
        }
        let repo = context.place().open_repository()?;
        let commit = repo.resolve(&self.commit)?;
        let subpath = self.subpath.as_deref();
        if self.allow_noent
            && repo
                .subtree(&commit, subpath.unwrap_or_default())?
                .is_none()
        {
            return Ok(Exit::Done);
        }
        let destination = self.destination.as_deref();
        repo.checkout(
            &commit,
            CWD,
            destination.unwrap_or(Path::new(&self.commit)),
            &self.options(),
            context.progress(),
            context.interrupt(),
        )?;
        Ok(Exit::Done)
    }

    fn options(&self) -> CheckoutOptions<'_> {
        CheckoutOptions {
            force_copy: self.force_copy,
            user_mode: self.user_mode,
            subpath: self.subpath.as_deref(),
            existing: self.existing(),
            whiteouts: self.whiteouts,
            require_hardlinks: self.require_hardlinks,
            passthrough_whiteouts: self.process_passthrough_whiteouts,
            ..CheckoutOptions::default()
        }
    }

    fn existing(&self) -> Existing {
        match (self.union, self.union_add, self.union_identical) {
            (true, ..) => Existing::Union,
            (_, true, _) => Existing::Add,
            (.., true) => Existing::Identical,
            _ => Existing::Refuse,
        }
    }
}
