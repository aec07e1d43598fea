//! `bootroot ostree admin init-fs`

use std::path::PathBuf;

use clap::Args;
use sysroot::{Layout, Sysroot};

use crate::context::Context;
use crate::environment;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;

/// Make the directories of a physical root
#[derive(Debug, Args)]
pub(crate) struct InitFs {
    /// Create only /boot and /ostree; the same as --epoch=1
    #[arg(long)]
    modern: bool,
    /// What to create: 0 all traditional directories, 1 only /boot and /ostree, 2 as 1 with /ostree for
    /// root only
    #[arg(short = 'E', long, default_value_t = 0, value_name = "EPOCH")]
    epoch: u32,
    /// The directory that becomes a physical root
    path: PathBuf,
}

impl InitFs {
    pub(crate) fn run(self, _context: &Context) -> Result<Exit, Failure> {
        let layout = match (self.epoch, self.modern) {
            (0, false) => Layout::Traditional,
            (2, _) => Layout::Private,
            _ => Layout::Modern,
        };
        let root = open_dir("the directory", &self.path)?;
        Sysroot::create(root, layout, environment::sysroot_options())?;
        Ok(Exit::Done)
    }
}
