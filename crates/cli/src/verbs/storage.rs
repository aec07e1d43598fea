//! `bootroot storage`

use std::io::Write;

use clap::{Args, Subcommand};
use indicatif::HumanBytes;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Work on what the system stores things in
#[derive(Debug, Subcommand)]
pub(crate) enum Storage {
    Du(Du),
    Compose(Compose),
}

/// Show what the stores take on disk, and how much of it no other store has
///
/// What several stores have as the same inode is counted once. Files of a file system that lets them share blocks count each for
/// themselves, though they may share all.
#[derive(Debug, Args)]
pub(crate) struct Du {}

/// Let the composefs repository have an image of a commit
///
/// The files of the commit are linked into /composefs, not copied: their bytes stay once on disk. The repository
/// is made where there is none, as bootc has it.
#[derive(Debug, Args)]
pub(crate) struct Compose {
    /// A commit, or a ref
    rev: String,
    /// Give the image a name
    #[arg(long)]
    name: Option<String>,
}

impl Storage {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Du(verb) => verb.run(context),
            Self::Compose(verb) => verb.run(context),
        }
    }
}

impl Du {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let found = host::storage_use(&context.place().open()?)?;
        let mut out = context.results();
        for store in &found.stores {
            let (bytes, unique) = (HumanBytes(store.bytes), HumanBytes(store.unique));
            writeln!(
                out,
                "{}: {bytes}, {unique} of them nowhere else",
                store.name
            )?;
        }
        let each: u64 = found.stores.iter().map(|store| store.bytes).sum();
        let shared = HumanBytes(each.saturating_sub(found.bytes));
        let together = HumanBytes(found.bytes);
        writeln!(
            out,
            "together: {together}, with {shared} shared and counted once"
        )?;
        Ok(out.finish().map(|()| Exit::Done)?)
    }
}

impl Compose {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let storage = context.place().open()?;
        let (progress, interrupt) = (context.progress(), context.interrupt());
        let name = self.name.as_deref();
        let composed = host::storage_compose(&storage, &self.rev, name, progress, interrupt)?;
        let mut out = context.results();
        writeln!(out, "{}", composed.image)?;
        let shared = composed.present + composed.linked + composed.cloned;
        writeln!(out, "files shared: {shared}, copied: {}", composed.copied)?;
        Ok(out.finish().map(|()| Exit::Done)?)
    }
}
