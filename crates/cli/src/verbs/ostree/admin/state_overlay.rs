//! `bootroot ostree admin state-overlay`

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use clap::Args;
use error_class::{Classified, ErrorClass};
use sysroot::prepare_state_overlay;

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};
use crate::place::open_dir;
use crate::private_mounts;

/// Where overlays are.
const OVERLAYS: &str = "/var/ostree/state-overlays";

/// Mount a writable layer, which survives updates, over a part of /usr; called when the system boots
#[derive(Debug, Args)]
pub(crate) struct StateOverlay {
    /// What the layer is called, in /var/ostree/state-overlays
    name: PathBuf,
    /// The directory that it is mounted over
    #[arg(value_name = "MOUNTPATH")]
    place: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("Must be booted into an OSTree deployment")]
struct NotBooted;

impl Classified for NotBooted {
    fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }
}

impl StateOverlay {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let state = System::open(context)?.sysroot.load()?;
        let commit = state.booted().ok_or(NotBooted)?.id.commit;
        let layer = Path::new(OVERLAYS).join(&self.name);
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .recursive(true)
            .create(&layer)?;
        let overlay = open_dir("the state overlay", &layer)?;
        let lower = open_dir("the directory to be overlaid", &self.place)?;
        prepare_state_overlay(overlay.as_fd(), lower.as_fd(), &commit)?;
        let (place, layer) = (self.place.display(), layer.display());
        let options = format!("lowerdir={place},upperdir={layer}/upper,workdir={layer}/work");
        private_mounts::mount_overlay(&self.place, &options, false)?;
        Ok(Exit::Done)
    }
}
