//! `bootroot composefs init`

use std::os::fd::AsFd as _;

use clap::{Args, ValueEnum};
use composefs_format::Algorithm;

use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Make the composefs repository
///
/// One that is there already stays as it is. Where there is no OSTree repository, ostree/bootc becomes a link to
/// composefs/bootc, as bootc makes it, so that it finds its containers.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What its digests are made with
    #[arg(long, value_enum, default_value = "sha512")]
    digest: Kind,

    /// Demand that the kernel verifies every object
    ///
    /// By fs-verity, which the file system must have. Objects that are there already are sealed, and so is meta.json: cfsctl
    /// demands the same then. It cannot be taken back.
    #[arg(long)]
    fs_verity: bool,
}

/// An algorithm.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// As libostree has them
    Sha256,
    /// As bootc has them
    Sha512,
}

impl Init {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.place().make_writable()?;
        let root = context.place().root()?;
        let algorithm = match self.digest {
            Kind::Sha256 => Algorithm::Sha256,
            Kind::Sha512 => Algorithm::Sha512,
        };
        let mut store = host::ensure_composefs_store(root.as_fd(), algorithm)?;
        if self.fs_verity {
            store.demand_verity(context.progress(), context.interrupt())?;
        }
        if rustix::fs::statat(&root, "ostree/repo", rustix::fs::AtFlags::empty()).is_err() {
            host::link_bootc(root.as_fd())?;
        }
        Ok(Exit::Done)
    }
}
