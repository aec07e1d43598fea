//! `bootroot ostree admin post-copy`

use clap::Args;

use super::system::System;
use crate::context::Context;
use crate::outcome::{Exit, Failure};

/// Bring a system in order after its files were copied
///
/// What a copy of files loses is the fs-verity of objects and of images for composefs, where the repository's
/// config asks for that.
#[derive(Debug, Args)]
pub(crate) struct PostCopy {}

impl PostCopy {
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let system = System::open_writable(context)?;
        system.lock(context)?.enable_verity()?;
        Ok(Exit::Done)
    }
}
